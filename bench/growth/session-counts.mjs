/** What the number of live sessions costs a call of one of them. */
import { interleave, runAll } from "../measure.mjs";
import { count, cpu, microseconds, noiseOf, spread } from "../report.mjs";
import { deleteAll, echoes, INCREMENT, sessionsWith } from "../workloads.mjs";

const COUNTS = [1, 10, 100, 1_000, 10_000];
const ROWS = { one: "always the same session", all: "all sessions in turn" };
const LIMIT = 1.2;

export async function measureSessionCounts({ client, pid, plan: { rounds, milliseconds, mostSessions }, report }) {
  const sessions = [];
  const use = async (i) => {
    const session = sessions[i % sessions.length];
    session.uses++;
    const uses = await client.call(session.sessionId, session.handleId, 1);
    if (uses !== session.uses) throw new Error(`a session counts ${uses} calls in place of ${session.uses}`);
  };
  const targets = [...echoes(client, pid), { name: "one", pid, run: () => use(0) }, { name: "all", pid, run: use }];
  const steps = [];
  for (const live of COUNTS.filter((live) => live <= mostSessions)) {
    const before = sessions.length;
    for (const made of await sessionsWith(client, INCREMENT, live - before)) sessions.push({ ...made, uses: 0 });
    await runAll(live - before, 16, (i) => use(before + i));
    steps.push({ live, measured: await interleave(targets, { inFlight: 1, rounds, milliseconds }) });
  }
  await deleteAll(client, sessions);

  const [first] = steps;
  const toFirst = ({ measured }, name) => {
    const base = first.measured.ratio(name, "echoA").median;
    const { median, lower, upper } = measured.ratio(name, "echoA");
    return { median: median / base, lower: lower / base, upper: upper / base };
  };
  report.section(
    "Number of live sessions",
    "All in one process, each used once before; one Call in flight, by unary RPC. Sessions are added between the rows, so each row has",
    "echoes of its own, and the last ratio is that of its ratio to the echo to the one with a single session.",
  );
  for (const [name, what] of Object.entries(ROWS)) {
    report.note(`Calls of ${what}:`);
    report.table([
      ["live sessions", "echo p50", "Call p50", "ratio to echo", "A/A", "to 1 session", "server CPU each"],
      ...steps.map((step) => [
        count(step.live),
        microseconds(step.measured.of("echoA").p50),
        microseconds(step.measured.of(name).p50),
        spread(step.measured.ratio(name, "echoA")),
        noiseOf(step.measured),
        spread(toFirst(step, name)),
        cpu(step.measured.of(name)),
      ]),
    ]);
  }
  const last = steps.at(-1);
  for (const [name, what] of Object.entries(ROWS)) {
    const goal = `Call p50 with ${count(last.live)} live sessions to 1, ${what}`;
    report.goal(goal, toFirst(last, name).median, "at most", LIMIT, { noise: noiseOf(last.measured) });
  }
}
