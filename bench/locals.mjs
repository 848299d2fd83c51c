/**
 * `node bench/locals.mjs`: what execution locals cost, at the engine's boundary, so that no transport hides it: turns with and without
 * `locals`, which read them or do not, and what awaits cost beside the same engine without a kernel. Writes bench/locals.md.
 */
import { getQuickJS } from "quickjs-emscripten";
import { Engine } from "../server/dist/engine/engine.js";
import { interleave } from "./measure.mjs";
import { startSpinners } from "./processes.mjs";
import { count, microseconds, Report, spread } from "./report.mjs";

const ROUNDS = 60;
const MILLISECONDS = 100;
const AWAITS = 1_000;
const LOCALS = new Map([["requestId", { kind: "json", text: '"r-1"' }]]);
const ARGUMENT = [{ kind: "json", text: "1" }];
/** FULL, as numbered in the contract. */
const ENCODING = 1;

const SOURCE = `
  var n = 0;
  function add(by) { n += by; return n; }
  function work(by) { for (let i = 0; i < 2000; i++) n = (n * 31 + by) % 1000003; return n; }
  function read(by) { n += by; return locals.requestId === '' ? 0 : n; }
  async function awaits(by) { for (let i = 0; i < ${AWAITS}; i++) n += await by; return n; }
  0`;

/** The same awaits, run to their end by whoever calls. */
const BARE_AWAITS = `
  var n = 0;
  async function awaits(by) { for (let i = 0; i < ${AWAITS}; i++) n += await by; return n; }
  0`;

class Session {
  #engine;
  #memory;
  #execution = 1;

  constructor(engine) {
    this.#engine = engine;
    this.#memory = engine.createMemory(32 << 20);
  }

  execute(code) {
    return this.#turn({ kind: "execute", code, filename: "bench.js", bindings: new Map() });
  }

  call(path, locals) {
    const callee = { handleId: undefined, path, construct: false, thisValue: undefined };
    return this.#turn({ kind: "call", ...callee, args: ARGUMENT }, locals);
  }

  async #turn(command, locals) {
    const number = this.#execution++;
    const execution = { number, encoding: ENCODING, handleGroup: "", valueBytes: 1 << 20, handles: 1_000, locals };
    const input = { kind: "run", command, execution };
    const result = await new Promise((done) =>
      this.#engine.run(this.#memory, [{ input, budget: 5_000, consoleBytes: 1_000, done }]),
    );
    const isDone = result.kind === "committed" && result.effects.some(({ kind }) => kind === "value");
    if (!isDone) throw new Error(`no value: ${JSON.stringify(result)}`);
    return result;
  }
}

async function bareAwaits() {
  const context = (await getQuickJS()).newContext();
  context.unwrapResult(context.evalCode(BARE_AWAITS)).dispose();
  const awaits = context.getProp(context.global, "awaits");
  const one = context.newNumber(1);
  return async () => {
    context.unwrapResult(context.callFunction(awaits, context.undefined, one)).dispose();
    const ran = context.unwrapResult(context.runtime.executePendingJobs());
    if (ran < AWAITS) throw new Error(`only ${ran} jobs ran`);
  };
}

const stopSpinners = startSpinners();
const engine = await Engine.start({ workers: 1, rotateWorkers: false });
const session = new Session(engine);
await session.execute(SOURCE);

const plain = ["add", "work"];
const targets = [
  ...["A", "B"].map((arm) => ({ name: `nothing ${arm}`, run: () => session.call("add") })),
  ...plain.map((path) => ({ name: `${path} without`, run: () => session.call(path) })),
  ...plain.map((path) => ({ name: `${path} with`, run: () => session.call(path, LOCALS) })),
  { name: "read with", run: () => session.call("read", LOCALS) },
];
const turns = await interleave(targets, { inFlight: 1, rounds: ROUNDS, milliseconds: MILLISECONDS });
const awaiting = await interleave(
  [
    { name: "bare A", run: await bareAwaits() },
    { name: "bare B", run: await bareAwaits() },
    { name: "here", run: () => session.call("awaits") },
    { name: "here, with locals", run: () => session.call("awaits", LOCALS) },
  ],
  { inFlight: 1, rounds: ROUNDS, milliseconds: MILLISECONDS },
);

const report = new Report();
const noise = spread(turns.ratio("nothing B", "nothing A"));
report.section(
  "Turns without await",
  "A call of a live function, from the main thread to the worker and back, without any transport. `with`: the call has one local.",
);
report.table([
  ["function", "without", "with", "ratio", "A/A"],
  ...[
    ["adds a number", "add without", "add with"],
    ["computes 2,000 steps", "work without", "work with"],
    ["adds a number; `with` also reads the local", "add without", "read with"],
  ].map(([label, without, given]) => [
    label,
    microseconds(turns.of(without).p50),
    microseconds(turns.of(given).p50),
    spread(turns.ratio(given, without)),
    noise,
  ]),
]);
report.section(
  "Awaits",
  `One call that awaits ${count(AWAITS)} numbers. Bare: quickjs-emscripten in this process, with its jobs run to their end; it has no hop to a`,
  "thread, and no kernel.",
);
report.table([
  ["who", "p50", "each await", "ratio to bare", "A/A"],
  ...["bare A", "here", "here, with locals"].map((name) => [
    name === "bare A" ? "bare" : name,
    microseconds(awaiting.of(name).p50),
    `${((awaiting.of(name).p50 * 1e3) / AWAITS).toFixed(2)} µs`,
    spread(awaiting.ratio(name, "bare A")),
    spread(awaiting.ratio("bare B", "bare A")),
  ]),
]);
report.goal(
  "A turn without await, with locals to without",
  turns.ratio("add with", "add without").median,
  "at most",
  1.05,
  {
    noise,
  },
);
report.goals();
report.write(
  {
    plan: `${ROUNDS} rounds of ${MILLISECONDS} ms each`,
    spinners: stopSpinners !== undefined,
    same: "targets of each table",
  },
  "locals.md",
  "node bench/locals.mjs",
);
stopSpinners?.();
engine.close();
process.exit(0);
