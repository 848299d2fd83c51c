/**
 * `npm run bench`: measures livescope against an empty unary echo of a grpc-js server in the same process, and against
 * shipping a scope with every call. `npm run bench -- --quick` takes half a minute in place of some five.
 */
import { parseArgs } from "node:util";
import { LivescopeClient } from "./client.mjs";
import { COPIED, measureCopies, measureForkMemory } from "./copies.mjs";
import { ServerProcess, startSpinners } from "./processes.mjs";
import { columns, count, cpu, kibibytes, microseconds, noiseOf, Report, rowOf, spread } from "./report.mjs";
import {
  measureLiveData,
  measureMany,
  measureMemory,
  measureOne,
  measureSessions,
  SCOPES,
  warmUp,
} from "./workloads.mjs";

const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });

/** @type {import("./workloads.mjs").Plan} */
const plan = flags.quick
  ? { rounds: 7, milliseconds: 80, warmUpCalls: 2_000, liveSessions: 0, idleSeconds: 0 }
  : { rounds: 40, milliseconds: 120, warmUpCalls: 8_000, liveSessions: 10_000, idleSeconds: 80 };

/** The thin client of the wire, and the SDK, both over Connect. */
const CONNECT_ROWS = [
  ["connect", "Call over Connect"],
  ["sdk", "Call by the SDK"],
];

const report = new Report();
const stopSpinners = startSpinners();
try {
  const server = await ServerProcess.start("livescope");
  const client = new LivescopeClient(server.addresses);
  await warmUp(client, plan);
  const one = reportOne(await measureOne(client, server.pid, plan));
  const many = reportMany(await measureMany(client, server.pid, plan));
  const sessions = reportSessions(await measureSessions(client, server.pid, plan));
  const live = reportLiveData(
    await measureLiveData(client, server.pid, { ...plan, rounds: Math.min(plan.rounds, 12) }),
  );
  const copies = reportCopies(await measureCopies(client, server.pid, { ...plan, rounds: Math.min(plan.rounds, 12) }));
  await client.close();
  await server.stop();
  const memory = reportMemory(await measureMemory(plan));
  const forks = reportForkMemory(await measureForkMemory());
  for (const goals of [one, many, sessions, live, copies, memory, forks]) goals();
  report.goals();
  report.write({
    plan: `${flags.quick ? "quick" : "full"} run, ${plan.rounds} rounds of ${plan.milliseconds} ms blocks`,
    spinners: stopSpinners !== undefined,
  });
} finally {
  stopSpinners?.();
}

function streamRows(measured) {
  return [
    rowOf(measured, "stream", "empty message on a stream"),
    rowOf(measured, "thread", "the same by way of a thread"),
  ];
}

function reportOne(measured) {
  report.section(
    "One in flight",
    "Call: by handle, one number as JSON, ENCODING_FULL; over Connect all calls travel on one stream. The SDK does so, too, and",
    "calls by path. Create: create and delete alternate, p50 is of the create alone; the",
    "other columns are of both together. Host call: p50 is of one round trip from the guest to a function of the client and back,",
    "20 of them in one execution; the other columns are of such an execution. A message on a stream is empty and sent back; by way",
    "of a thread it is posted to one of the server and back as well, as a Call is: the floor of what goes over Connect.",
  );
  report.table([
    columns("unary RPC"),
    rowOf(measured, "echoA", "empty echo"),
    ...streamRows(measured),
    rowOf(measured, "call", "Call"),
    rowOf(measured, "connect", "Call over Connect"),
    rowOf(measured, "sdk", "Call by the SDK"),
    rowOf(measured, "host call", "host call"),
    rowOf(measured, "create", "CreateSession"),
  ]);
  const noise = noiseOf(measured);
  return () => {
    for (const [name, what] of CONNECT_ROWS) {
      report.goal(`${what}, p50 to the echo, 1 in flight`, measured.ratio(name, "echoA").median, "at most", 0.65, {
        noise,
      });
    }
    report.goal("host call p50 to the echo", measured.ratio("host call", "echoA").median, "at most", 1.0, { noise });
    report.goal("Call p50 to the echo, 1 in flight", measured.ratio("call", "echoA").median, "at most", 1.8, { noise });
    report.goal("CreateSession p50 to the echo", measured.ratio("create", "echoA").median, "at most", 2.5, { noise });
  };
}

function reportMany(measured) {
  report.section(
    "64 in flight",
    "An empty message is sent for each that came back. Connect sends those of one tick in one message.",
  );
  report.table([
    columns("unary RPC"),
    rowOf(measured, "echoA", "empty echo"),
    ...streamRows(measured),
    rowOf(measured, "call, one session", "Call, one session"),
    rowOf(measured, "call, 64 sessions", "Call, 64 sessions"),
    ...["one session", "64 sessions"].flatMap((which) =>
      CONNECT_ROWS.map(([name, what]) => rowOf(measured, `${name}, ${which}`, `${what}, ${which}`)),
    ),
    rowOf(measured, "create + delete", "CreateSession + DeleteSession"),
  ]);
  const noise = noiseOf(measured);
  return () => {
    for (const which of ["one session", "64 sessions"]) {
      const ratio = measured.ratio(`call, ${which}`, "echoA").median;
      report.goal(`Call p50 to the echo, 64 in flight, ${which}`, ratio, "at most", 1.5, { noise });
      for (const [name, what] of CONNECT_ROWS) {
        const rate = measured.ratio(`${name}, ${which}`, "echoA", "perSecond").median;
        report.goal(`${what}, rate to the echo's, 64 in flight, ${which}`, rate, "at least", 2, { noise });
      }
    }
  };
}

function reportSessions(measured) {
  report.section("Number of sessions", "One Call in flight while 1,001 sessions live.");
  report.table([
    columns("Call"),
    rowOf(measured, "one session", "always the same session"),
    rowOf(measured, "1,000 sessions", "1,000 sessions in turn"),
  ]);
  const ratio = measured.ratio("1,000 sessions", "one session");
  report.note(`1,000 sessions in turn against always the same: ${spread(ratio)}`);
  const noise = noiseOf(measured);
  return () => report.goal("Call p50, 1,000 sessions to one", ratio.median, "at most", 1.2, { noise });
}

function reportLiveData({ measured, heaps }) {
  const aa = noiseOf(measured);
  report.section(
    "Live data",
    "Call changes one of the records that live in the session. The size is that of the data as JSON text, 0 being one record;",
    "the heap is the session's whole. Shipping sends the data as JSON text with every call into a fresh realm, which parses",
    "it, changes the same record by the same function, and sends all of it back as JSON text:",
    "",
    "* to livescope: Execute without a session, the scope as a binding; 10 MiB, more than a message carries, through a",
    "  session made and deleted for it, in parts of 2 MiB there and back;",
    "* to node:vm: a grpc-js server with raised message limits, a context per call, the script compiled once. It does not",
    "  isolate anything: it stands for the least that this can cost.",
    "",
    "The client neither parses nor writes the JSON it ships. One in flight.",
  );
  report.table([
    ["live data", "heap", "Call p50", "ratio to echo", "A/A", "server CPU each"],
    ...SCOPES.map(({ label }) => {
      const block = measured.of(`call ${label}`);
      const ratio = spread(measured.ratio(`call ${label}`, "echoA"));
      return [label, kibibytes(heaps.get(label)), microseconds(block.p50), ratio, aa, cpu(block)];
    }),
  ]);
  for (const to of ["livescope", "node:vm"]) {
    report.note(`Shipped to ${to}:`);
    report.table([
      ["scope", "p50", "ratio to echo", "A/A", "Call is cheaper by", "server CPU each"],
      ...SCOPES.map(({ label }) => {
        const name = `ship to ${to} ${label}`;
        const block = measured.of(name);
        const cheaper = spread(measured.ratio(name, `call ${label}`));
        return [label, microseconds(block.p50), spread(measured.ratio(name, "echoA")), aa, cheaper, cpu(block)];
      }),
    ]);
  }
  return () => {
    for (const to of ["livescope", "node:vm"]) {
      const ratio = measured.ratio(`ship to ${to} 1 MiB`, "call 1 MiB").median;
      report.goal(`Call with 1 MiB, cheaper than shipping it to ${to}`, ratio, "at least", 20, { noise: aa });
    }
  };
}

function reportCopies({ measured, sizes }) {
  const aa = noiseOf(measured);
  report.section(
    "Copies",
    "A session with live data, so many bytes of objects with a string each: ForkSession of it, CreateSnapshot of it, and",
    "CreateSession from the snapshot. What is made is deleted before the next, outside of what is timed; so a fork mostly finds",
    "memory to use again. One in flight.",
  );
  report.table([
    ["live data", "heap", "snapshot", "what", "p50", "ratio to echo", "A/A"],
    ...COPIED.flatMap(({ label }) =>
      ["fork", "snapshot", "restore"].map((what) => {
        const name = `${what} ${label}`;
        const { heap, snapshot } = sizes.get(label);
        const row = [microseconds(measured.of(name).p50), spread(measured.ratio(name, "echoA")), aa];
        return [label, kibibytes(heap), kibibytes(snapshot), what, ...row];
      }),
    ),
  ]);
  return () => {
    const ratio = measured.ratio("fork 1 MiB", "echoA").median;
    report.goal("ForkSession with 1 MiB, p50 to the echo", ratio, "at most", 3, { noise: aa });
    report.goal("snapshot of a fresh session", sizes.get("0").snapshot / 1024, "at most", 16, { unit: "KiB" });
  };
}

function reportForkMemory({ forks, heap, origin, usedOrigin, unused, used, elapsed }) {
  report.section(
    "Memory of forks",
    `Growth of the server's resident memory for each of ${count(forks)} sessions with 1 MiB of live data, and then for each of`,
    `${count(forks)} forks of one of them, made by one request; in a process of its own.`,
  );
  report.table([
    ["what", "figure"],
    ["heap of the origin", kibibytes(heap)],
    ["sessions that made the data themselves", kibibytes(origin)],
    ["the same, used once more", kibibytes(usedOrigin)],
    ["forks, never used", kibibytes(unused)],
    ["forks, each used", kibibytes(used)],
    ["all forks made in", microseconds(elapsed)],
  ]);
  return () => {
    report.goal("memory of a fork to that of its origin, never used", unused / origin, "at most", 1);
    report.goal("memory of a fork to that of its origin, each used", used / usedOrigin, "at most", 1);
  };
}

function reportMemory({ createP50, createsPerSecond, unused, used, idle, live }) {
  report.section(
    "Memory and many sessions",
    "Growth of the server's resident memory per session, after garbage collection, in a process of its own. Used: one Execute",
    "that defines a function, one Call of it. Workers let go of what they keep for sessions that nobody used for a minute.",
    "Creates here find no memory to use again, but for the first 8: of the sessions by which the server was warmed up.",
  );
  const rows = [
    ["what", "figure"],
    ["1,000 sessions, never used", kibibytes(unused)],
    ["1,000 sessions, each used", kibibytes(used)],
    ...(idle === undefined ? [] : [["the same, when nobody used them for a minute", kibibytes(idle)]]),
    ["CreateSession p50, 1 in flight", microseconds(createP50)],
    ["CreateSession per second, 1 in flight", count(createsPerSecond)],
  ];
  if (live !== undefined) {
    rows.push(
      [`${count(live.sessions)} sessions live at once, each used`, kibibytes(live.bytes)],
      [`Call p50, ${count(live.sessions)} sessions in turn`, microseconds(live.p50)],
    );
  }
  report.table(rows);
  return () => {
    report.goal("memory of a session, used once", used / 1024, "at most", 400, { unit: "KiB" });
    if (idle !== undefined) {
      report.goal("the same, when nobody used it for a minute", idle / 1024, "at most", 300, { unit: "KiB" });
    }
    if (live !== undefined) report.goal("sessions alive at once", live.sessions, "at least", 10_000);
  };
}
