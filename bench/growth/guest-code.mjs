/** What guest code costs that computes: the same functions in livescope and in other engines, each behind grpc-js. */
import { interleave } from "../measure.mjs";
import { startPeer } from "../peers/peer-client.mjs";
import { cpu, microseconds, noiseOf, spread } from "../report.mjs";
import { scopeText } from "../scope.mjs";
import { deleteAll, echoes, sessionWith } from "../workloads.mjs";

const CODE = [
  { label: "fib(22), recursive", source: "() => fib(22)" },
  { label: "JSON.parse and JSON.stringify, 10 KiB", source: "() => JSON.stringify(JSON.parse(text)).length" },
  {
    label: "a regular expression replaces in 10 KiB",
    source: '() => text.replace(/([a-z]+) (\\d+)/g, "$2-$1$1").length',
  },
  {
    label: "Map, 10,000 set and get",
    source: `() => {
      const map = new Map();
      for (let i = 0; i < 10_000; i++) map.set(i, i * 2);
      let sum = 0;
      for (let i = 0; i < 10_000; i++) sum += map.get(i);
      return sum;
    }`,
  },
];
/**
 * Its value is a function that runs one of them, by its number: whatever they are run in keeps one function. Numbers begin with 1, as
 * grpc-js takes a message that reads as 0 for none.
 */
const SOURCE = `
const text = ${JSON.stringify(scopeText(10 * 1024))};
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
const code = [${CODE.map(({ source }) => source).join(",\n")}];
function work(which) { return code[which - 1](); }
work`;
const REFERENCE = "quickjs-wasi";
const PEERS = [
  { role: REFERENCE, label: "quickjs-wasi, on its server's main thread" },
  { role: "isolated-vm", label: "isolated-vm" },
  { role: "node-vm", label: "node:vm (isolates nothing)" },
];

export async function measureGuestCode({ client, pid, plan: { rounds, milliseconds }, report }) {
  const session = await sessionWith(client, SOURCE);
  const peers = [];
  for (const { role, label } of PEERS) peers.push({ role, label, ...(await startPeer(role, SOURCE)) });
  const running = peers.filter(({ missing }) => missing === undefined);
  const places = [
    {
      role: "livescope",
      label: "livescope",
      pid,
      call: (which) => client.call(session.sessionId, session.handleId, which),
    },
    ...running,
  ];
  const targets = echoes(client, pid);
  for (const [which, expected] of expectedResults().entries()) {
    for (const { role, pid, call } of places) {
      targets.push({ name: `${role} ${which}`, pid, run: () => checked(call(which + 1), expected) });
    }
  }
  const measured = await interleave(targets, { inFlight: 1, rounds, milliseconds });
  for (const { stop } of running) stop();
  await deleteAll(client, [session]);

  report.section(
    "Guest code that computes",
    "One call of a live function, by one unary RPC, the way there and back included; one in flight. quickjs-wasi is QuickJS in WebAssembly",
    "too, and takes no checkpoints; isolated-vm and node:vm compile to machine code. All three are behind grpc-js, in a process each.",
  );
  const noise = noiseOf(measured);
  const hasReference = running.some(({ role }) => role === REFERENCE);
  report.table([
    ["code", "in", "p50", "ratio to empty echo", `to ${REFERENCE}`, "A/A", "server CPU each"],
    ...CODE.flatMap(({ label }, which) =>
      places.map((place) => {
        const name = `${place.role} ${which}`;
        return [
          label,
          place.label,
          microseconds(measured.of(name).p50),
          spread(measured.ratio(name, "echoA")),
          hasReference ? spread(measured.ratio(name, `${REFERENCE} ${which}`)) : "n/a",
          noise,
          cpu(measured.of(name)),
        ];
      }),
    ),
  ]);
  const missing = peers.filter((peer) => peer.missing !== undefined);
  if (missing.length > 0) {
    report.note("Not run, as they are not installed:", ...missing.map((peer) => `${peer.label} (${peer.missing})`));
  }
}

/** What each gives here, in the client. */
function expectedResults() {
  const work = new Function(`${SOURCE.replace(/work$/, "return work")}`)();
  return CODE.map((_, which) => work(which + 1));
}

async function checked(calling, expected) {
  const result = await calling;
  if (result !== expected) throw new Error(`guest code gave ${result} in place of ${expected}`);
}
