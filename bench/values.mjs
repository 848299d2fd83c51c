/**
 * What it costs to give a hundred rows as a value, against guest code that gives the same as JSON text: CPU time in the session, without
 * that of a call that gives a number. Run with `npm run build && node bench/values.mjs`.
 */
import { Livescope } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { inTurn } from "./measure.mjs";

const SETUP = `
const rows = Array.from({ length: 100 }, (_, i) => ({
  id: i, name: "customer " + i, isActive: i % 2 === 0, balance: i * 1.5, tags: ["a", "b"],
  address: { street: "street " + i, zip: 10000 + i },
}));
const dated = rows.map((row) => ({ ...row, since: new Date(1e12 + row.id) }));
function number() { return 1 }
function plain() { return rows }
function plainText() { return JSON.stringify(rows) }
function dates() { return dated }
function datesText() { return JSON.stringify(dated) }`;

const server = await startServer({ workers: 1 });
const client = await Livescope.connect(server.address);
const session = await client.createSession({ setup: SETUP });
const names = ["number", "plain", "plainText", "dates", "datesText"];
const cpuTime = (name) => async () => (await session.call(name).execution()).usage.cpuTime;
const taken = await inTurn(Object.fromEntries(names.map((name) => [name, cpuTime(name)])));
const ratio = (value, text) => ((taken[value] - taken.number) / (taken[text] - taken.number)).toFixed(2);
console.log(`plain rows: ${ratio("plain", "plainText")} of JSON.stringify`);
console.log(`with dates: ${ratio("dates", "datesText")} of JSON.stringify, which loses that they are dates`);
await client.close();
await server.close();
