/**
 * What templates cost, each against what it is to be measured by, in turn: run with `npm run build && node bench/templates.mjs`.
 *
 * - rendering a table of 200 rows that is compiled already, against the same in JavaScript written by hand: CPU time in the session;
 * - compiling a template of 200 lines, against acorn's parse of the code that it becomes.
 */
import { Livescope } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { parse } from "acorn";
import { compileTemplate } from "../server/dist/compile/template.js";
import { inTurn } from "./measure.mjs";

const SETUP = `
var rows = Array.from({ length: 200 }, (_, i) =>
  ({ id: i, name: "item " + i, note: i % 10 ? "plain text" : 'a <b> & "c"', price: i * 1.5 }));
const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (value) => String(value ?? "").replace(/[&<>"']/g, (c) => entities[c]);
function table() {
  let out = "<table>\\n";
  for (const r of rows) {
    out += "<tr><td>" + escaped(r.id) + "</td><td>" + escaped(r.name) + "</td><td>" + escaped(r.note) + "</td><td>" +
      escaped(r.price) + "</td></tr>\\n";
  }
  return out + "</table>";
}
// The same by one who knows what is slow: numbers are not escaped, and text without special characters is not replaced.
const special = /[&<>"']/;
const quickly = (text) => (special.test(text) ? escaped(text) : text);
function quickTable() {
  let out = "<table>\\n";
  for (const r of rows) {
    out += "<tr><td>" + r.id + "</td><td>" + quickly(r.name) + "</td><td>" + quickly(r.note) + "</td><td>" + r.price +
      "</td></tr>\\n";
  }
  return out + "</table>";
}`;
const TABLE =
  "<table>\n{% for r of rows %}<tr><td>{{ r.id }}</td><td>{{ r.name }}</td><td>{{ r.note }}</td><td>{{ r.price }}</td></tr>\n" +
  "{% end %}</table>";

const server = await startServer({ workers: 1 });
const client = await Livescope.connect(server.address);
const session = await client.createSession();
await session.execute(SETUP);
const cpuTime = async (promise) => (await promise.execution()).usage.cpuTime;
const rendering = await inTurn({
  template: () => cpuTime(session.render(TABLE)),
  hand: () => cpuTime(session.call("table")),
  quick: () => cpuTime(session.call("quickTable")),
});
console.log(`rendering: ${(rendering.template / rendering.hand).toFixed(2)} of the same by hand,`);
console.log(`           ${(rendering.template / rendering.quick).toFixed(2)} of the same by hand and tuned`);
await client.close();
await server.close();

const SECTION = (i) => `<section class="s${i}">
  <h2>{{ page.title + " " + (page.sub ?? "") }}</h2>{% set n${i} = user.items.filter((x) => x.n > ${i}) %}
  {% if n${i}.length > ${i} && user.ok %}<p>{{ user.name.trim() }} has {{ n${i}.join(", ") }}</p>{% else %}<p>none</p>{% end %}
  {% for { kind, price } of user.items %}<li class="{{ kind }}">{{ format(price * 1.19, "EUR") }}</li>{% end %}`;
const text = Array.from({ length: 50 }, (_, i) => SECTION(i)).join("\n");
const request = {
  root: { name: "t.html", text },
  context: ["page", "user"],
  escapes: true,
  streams: false,
  templates: new Map(),
};
const { source } = compileTemplate(request);
const timed = (run) => () => {
  const start = performance.now();
  run();
  return performance.now() - start;
};
const compiling = await inTurn({
  template: timed(() => compileTemplate(request)),
  parse: timed(() => parse(source, { ecmaVersion: "latest", sourceType: "script" })),
});
console.log(`compiling: ${(compiling.template / compiling.parse).toFixed(2)} of acorn's parse of what it becomes`);
