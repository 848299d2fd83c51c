/**
 * `node bench/peers.mjs`: livescope beside what people would pick instead, as far as this machine can have it (`npm install --prefix
 * bench/peers` brings it). Writes bench/peers.md.
 */
import { parseArgs } from "node:util";
import { LivescopeClient } from "./client.mjs";
import { interleave } from "./measure.mjs";
import { startPeer } from "./peers/peer-client.mjs";
import { ServerProcess, startSpinners } from "./processes.mjs";
import { columns, Report, rowOf } from "./report.mjs";

const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const PLAN = flags.quick ? { rounds: 5, milliseconds: 60 } : { rounds: 30, milliseconds: 120 };
const AT_ONCE = 64;
const SOURCE = "var count = 0; function inc(by) { count += by; return count; }; inc";
const LINE = "6 * 7";
/** A process for each takes long: so many of them in a round. */
const SLOW_ROUNDS = 5;
const PEERS = [
  { role: "isolated-vm", label: "isolated-vm, grpc-js" },
  { role: "node-vm", label: "node:vm, grpc-js (isolates nothing)" },
  { role: "quickjs-wasi", label: "quickjs-wasi, grpc-js, on its main thread" },
  { role: "capnweb", label: "Cap'n Web, WebSocket (isolates nothing)" },
  { role: "inspect", label: "node --inspect, CDP over WebSocket" },
  { role: "deno", label: "Deno, WebSocket, a worker (no limits)" },
  { role: "process", label: "a process for each, grpc-js" },
];

const stopSpinners = startSpinners();
try {
  await main();
} finally {
  stopSpinners?.();
}

async function main() {
  const server = await ServerProcess.start("livescope");
  const client = new LivescopeClient(server.addresses);
  const { pid } = server;
  const sessionId = await client.create();
  const handleId = await client.handle(sessionId, SOURCE);
  const started = new Map();
  for (const { role } of PEERS) started.set(role, await startPeer(role));
  const peers = PEERS.map((peer) => ({ ...peer, ...started.get(peer.role) }));
  const running = peers.filter(({ missing }) => missing === undefined);
  const labels = new Map([
    ["echoA", "empty echo, grpc-js"],
    ["unary", "livescope, unary RPC"],
    ["connect", "livescope, Connect"],
    ["sdk", "livescope, SDK"],
    ...peers.map(({ role, label }) => [role, label]),
  ]);
  const echoes = ["echoA", "echoB"].map((name) => ({ name, pid, run: () => client.echo(name) }));
  const sdk = (await client.sdk()).attach(sessionId);
  const of = (kind) =>
    running.filter((peer) => peer[kind] !== undefined).map((peer) => ({ name: peer.role, pid: peer.pid, peer }));

  const calls = [
    ...echoes,
    { name: "unary", pid, run: () => client.call(sessionId, handleId, 1) },
    { name: "connect", pid, run: () => client.callOverConnect(sessionId, handleId, 1) },
    { name: "sdk", pid, run: () => sdk.call("inc", [1]) },
    ...of("call").map(({ peer, ...target }) => ({ ...target, run: () => peer.call(1) })),
  ];
  const lines = [
    ...echoes,
    { name: "unary", pid, run: () => client.execute(LINE, { sessionId }) },
    { name: "sdk", pid, run: () => sdk.execute(LINE) },
    ...of("execute").map(({ peer, ...target }) => ({ ...target, run: () => peer.execute(LINE) })),
  ];
  const onces = [
    ...echoes,
    { name: "unary", pid, run: () => client.execute(LINE) },
    ...of("once").map(({ peer, ...target }) => ({ ...target, run: () => peer.once(LINE) })),
  ];
  const quick = onces.filter(({ name }) => name !== "process");
  const measured = {
    one: await interleave(calls, { inFlight: 1, ...PLAN }),
    many: await interleave(calls, { inFlight: AT_ONCE, ...PLAN, milliseconds: PLAN.milliseconds * 2 }),
    lines: await interleave(lines, { inFlight: 1, ...PLAN }),
    onces: await interleave(quick, { inFlight: 1, ...PLAN }),
    slow: await interleave(onces, { inFlight: 1, rounds: SLOW_ROUNDS, milliseconds: 0, operations: 5 }),
  };
  for (const { stop } of running) stop();
  await client.close();
  await server.stop();
  report({ measured, labels, peers, targets: { calls, lines, onces } });
}

function report({ measured, labels, peers, targets }) {
  const report = new Report();
  const table = (group, list) => {
    const named = list.filter(({ name }) => name !== "echoB");
    report.table([columns("what"), ...named.map(({ name }) => rowOf(group, name, labels.get(name)))]);
  };
  report.section("A live function is called, one at a time", "With one number, which changes what it closes over.");
  table(measured.one, targets.calls);
  report.section(`A live function is called, ${AT_ONCE} in flight`, "All of one session, or of one isolate.");
  table(measured.many, targets.calls);
  report.section("A line is executed", "`6 * 7`, where the function lives; one at a time.");
  table(measured.lines, targets.lines);
  report.section("A realm is made, runs a line, and is dropped", "By one RPC; one at a time.");
  table(
    measured.onces,
    targets.onces.filter(({ name }) => name !== "process"),
  );
  report.section(
    "The same, with a process for each",
    "Of the last row the CPU is that of the server alone, without the processes that it starts.",
  );
  table(measured.slow, targets.onces);
  const missing = peers.filter((peer) => peer.missing !== undefined);
  if (missing.length > 0) {
    report.note(
      "Not run, as they are not installed:",
      ...missing.map(({ label, missing: why }) => `${label} (${why})`),
    );
  }
  if (!missing.some(({ role }) => role === "isolated-vm")) {
    const faster = measured.onces.ratio("isolated-vm", "unary").median;
    report.goal("a realm for one line: isolated-vm's time to livescope's", faster, "at least", 3);
  }
  for (const [other, name] of [
    ["capnweb", "Cap'n Web's"],
    ["deno", "Deno's"],
  ]) {
    if (missing.some(({ role }) => role === other)) continue;
    const rate = measured.many.ratio("sdk", other, "perSecond").median;
    report.goal(`calls per second by the SDK to ${name}, 64 in flight`, rate, "at least", 1);
  }
  report.goals();
  const plan = `${flags.quick ? "quick" : "full"} run, ${PLAN.rounds} rounds of ${PLAN.milliseconds} ms blocks`;
  report.write({ plan, spinners: stopSpinners !== undefined }, "peers.md", "node bench/peers.mjs");
}
