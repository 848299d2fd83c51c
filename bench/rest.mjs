/**
 * `node bench/rest.mjs [count]`: puts so many sessions to rest (100,000 unless said otherwise), looks at the server's memory, then
 * calls them one by one and compares each wake-up with an empty unary echo. Writes bench/rest.md.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LivescopeClient } from "./client.mjs";
import { interleave, runAll } from "./measure.mjs";
import { ServerProcess, startSpinners } from "./processes.mjs";
import { count, cpu, kibibytes, microseconds, Report, spread } from "./report.mjs";

const COUNT = Number(process.argv[2] ?? 100_000);
const SOURCE = "var count = 0; function inc(by) { count += by; return count; }; inc";
const WOKEN = 2_000;
const MEBIBYTE = 1024 * 1024;

const data = mkdtempSync(join(tmpdir(), "livescope-bench-"));
const stopSpinners = startSpinners();
try {
  await main();
} finally {
  stopSpinners?.();
  rmSync(data, { recursive: true });
}

async function main() {
  const server = await ServerProcess.start("resting", [], [data]);
  const client = new LivescopeClient(server.addresses);
  const sessions = [];
  const make = async (i) => {
    const sessionId = await client.create();
    sessions[i] = { sessionId, handleId: await client.handle(sessionId, SOURCE) };
    await client.call(sessionId, sessions[i].handleId, 1);
  };
  const atStart = await server.residentBytes();
  const { elapsed } = await runAll(COUNT, 16, make);
  const sdk = await client.sdk();
  let listed = [];
  for (let left = Number.POSITIVE_INFINITY; left > 0; await sleep(500)) {
    listed = [];
    for await (const session of sdk.listSessions({ pageSize: 1_000 })) listed.push(session);
    left = listed.filter(({ state }) => state !== "HIBERNATED").length;
  }
  if (listed.length !== COUNT) throw new Error(`${listed.length} sessions are there in place of ${COUNT}`);
  const resident = await server.residentBytes();
  const stored = readdirSync(data).reduce((sum, name) => sum + statSync(join(data, name)).size, 0);

  let woken = 0;
  const wake = async () => {
    const { sessionId, handleId } = sessions[woken++ * Math.floor(COUNT / WOKEN)];
    if ((await client.call(sessionId, handleId, 1)) !== 2) throw new Error("a session did not wake as it was");
  };
  const { pid } = server;
  const echoes = ["echoA", "echoB"].map((name) => ({ name, pid, run: () => client.echo(name) }));
  // Each block wakes as many: those that it has woken already are of no use to it.
  const block = { inFlight: 1, rounds: 39, milliseconds: 0, operations: WOKEN / 40 };
  const measured = await interleave([...echoes, { name: "wake", pid, run: wake }], block);
  await client.close();
  await server.stop();

  const report = new Report();
  report.section(
    "Sessions at rest",
    "Each was used before: one Execute that defines a function, one Call of it. Wake: a Call by unary RPC of a session that rests,",
    "each of another one. The store is SQLite, and at most 500 Sessions are in memory at once.",
  );
  const noise = spread(measured.ratio("echoB", "echoA"));
  const row = (name, label) => {
    const { p50 } = measured.of(name);
    return [label, microseconds(p50), spread(measured.ratio(name, "echoA")), noise, cpu(measured.of(name))];
  };
  report.table([
    ["unary RPC", "p50", "ratio to echo", "A/A", "server CPU each"],
    row("echoA", "empty echo"),
    row("wake", "Call that wakes"),
  ]);
  report.note("In all:");
  report.table([
    ["what", "figure"],
    ["sessions at rest", count(COUNT)],
    ["made, used and put to rest per second", count((COUNT / elapsed) * 1000)],
    ["resident memory of the server before", `${count(atStart / MEBIBYTE)} MiB`],
    ["resident memory of the server then", `${count(resident / MEBIBYTE)} MiB`],
    ["of the store on disk, each", kibibytes(stored / COUNT)],
  ]);
  report.goal("wake p50 to the echo", measured.ratio("wake", "echoA").median, "at most", 10, { noise });
  if (COUNT >= 100_000) report.goal("MiB resident with 100,000 sessions at rest", resident / MEBIBYTE, "at most", 300);
  report.goals();
  const spinners = stopSpinners !== undefined;
  report.write(
    { plan: `${count(COUNT)} sessions, ${WOKEN} of them woken`, spinners },
    "rest.md",
    "node bench/rest.mjs",
  );
}
