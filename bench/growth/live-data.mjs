/** What the data that lives in a session costs its calls. */
import { setTimeout as sleep } from "node:timers/promises";
import { interleave } from "../measure.mjs";
import { cpu, kibibytes, microseconds, noiseOf, spread } from "../report.mjs";
import { buildSource } from "../scope.mjs";
import { deleteAll, echoes, SCOPE_MEMORY, SCOPES } from "../workloads.mjs";

const [NONE] = SCOPES;
const PAUSE = 5;
const LIMITS = { "1 MiB": 1.2, "10 MiB": 2 };

export async function measureLiveData({ client, pid, plan: { rounds, milliseconds }, report }) {
  const sessions = [];
  const targets = echoes(client, pid);
  for (const { label, bytes } of SCOPES) {
    const sessionId = await client.create(SCOPE_MEMORY);
    const handleId = await client.handle(sessionId, buildSource(bytes));
    sessions.push({ label, sessionId, heap: await client.heapBytes(sessionId) });
    targets.push({ name: label, pid, run: (i) => touch(client, sessionId, handleId, i) });
  }
  const closed = await interleave(targets, { inFlight: 1, rounds, milliseconds });
  const open = await interleave(targets.map(afterPause), { inFlight: 1, rounds, milliseconds });
  await deleteAll(client, sessions);

  report.section(
    "Live data",
    "A Call, by unary RPC, changes one of the records that live in the session; one in flight. The size is that of the data as JSON text,",
    "0 being one record; the heap is the session's whole. Each call follows the one before at once:",
  );
  const table = (measured) =>
    report.table([
      ["live data", "heap", "Call p50", "ratio to echo", "to one with none", "A/A", "server CPU each"],
      ["empty echo", "", ...figures(measured, "echoA"), "", noiseOf(measured), cpu(measured.of("echoA"))],
      ...sessions.map(({ label, heap }) => [
        label,
        kibibytes(heap),
        ...figures(measured, label),
        spread(measured.ratio(label, NONE.label)),
        noiseOf(measured),
        cpu(measured.of(label)),
      ]),
    ]);
  table(closed);
  report.note(
    `And ${PAUSE} ms after the one before, the echoes too. What the server does between two calls is then off the caller's way:`,
  );
  table(open);
  for (const [label, limit] of Object.entries(LIMITS)) {
    const { median } = closed.ratio(label, NONE.label);
    report.goal(`Call with ${label} of live data to one with none`, median, "at most", limit, {
      noise: noiseOf(closed),
    });
  }
}

const figures = (measured, name) => [microseconds(measured.of(name).p50), spread(measured.ratio(name, "echoA"))];

async function touch(client, sessionId, handleId, i) {
  if (!((await client.call(sessionId, handleId, i)) >= 1)) throw new Error("a record was not counted up");
}

const afterPause = ({ run, ...target }) => ({
  ...target,
  timesItself: true,
  run: async (i) => {
    await sleep(PAUSE);
    const start = performance.now();
    await run(i);
    return performance.now() - start;
  },
});
