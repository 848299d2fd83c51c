/** Who hears what where executions of one session wait for each other and some of them are stopped: nobody answers for another. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Session } from "@livescope/sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";

/** What runs or waits keeps a session in memory, and nothing else for longer than this, in seconds. */
const served = withServer({ hibernateAfter: 0.2 });
/** Long enough for all but what loops. */
const LIMITS = { cpuTime: 250, queuedExecutions: 100 };
const TIMEOUT = { timeout: 5_000 };
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession({ limits: LIMITS });
  return () => session.delete();
});

/** A value, or in which phase or for which reason there is none. */
function heard(result: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(result).then(
    (value) => value,
    (error) => error.phase ?? error.reason ?? error.message ?? String(error),
  );
}

const waitsAs = (name: string, rest: string): Promise<unknown> =>
  heard(session.execute(`await new Promise((resolve) => { globalThis.${name} = resolve }); ${rest}`, TIMEOUT));

describe("an execution that loops when another lets it go on", () => {
  test("answers alone, though the job behind it is one of a third", async () => {
    const other = session.execute("await new Promise((resolve) => setTimeout(resolve, 700)); 'other'");
    const loops = waitsAs("go", "for (;;);");
    const innocent = waitsAs("goOn", "'innocent'");
    await session.execute("0");
    const lets = heard(session.execute("go(); goOn(); 'lets'", TIMEOUT));
    expect(await Promise.all([loops, innocent, lets, other])).toEqual(["CPU_TIME", "innocent", "lets", "other"]);
  });

  test("is dead, also where its own first turn had to be run again", async () => {
    await session.execute("globalThis.n = 0; globalThis.isLooping = true; 0");
    const loops = waitsAs("go", "n++; while (isLooping);");
    const lets = heard(session.execute("go(); 'lets'", TIMEOUT));
    expect(await Promise.all([loops, lets])).toEqual(["CPU_TIME", "lets"]);
    expect(await session.execute("isLooping = false; go(); await 0; n")).toBe(0);
  });

  test("costs nobody an answer, whatever stands behind the one that lets it go on", async () => {
    const waits = waitsAs("goOn", "'waits'");
    const loops = waitsAs("go", "for (;;);");
    // A batch is full with these.
    const others = Array.from({ length: 28 }, (_, i) => heard(session.execute(`${i}`)));
    const lets = heard(session.execute("go(); setTimeout(goOn, 20); 'lets'", TIMEOUT));
    const last = heard(session.execute("'last'", TIMEOUT));
    expect(await Promise.all([waits, loops, lets, last])).toEqual(["waits", "CPU_TIME", "lets", "last"]);
    expect(await Promise.all(others)).toEqual(others.map((_, i) => i));
  });
});

describe("where an atomic execution waits", () => {
  test("what a host function runs for the one before it is not held up", async () => {
    await session.expose({ outer: () => session.execute("'inner'", TIMEOUT) });
    const calls = heard(session.execute("await outer()", TIMEOUT));
    const atomic = heard(session.execute("'atomic'", { atomic: true }));
    expect(await Promise.all([calls, atomic])).toEqual(["inner", "atomic"]);
  });

  test("and leaves the queue, who stood behind it may settle what stood before it", async () => {
    const cancelling = new AbortController();
    const waits = waitsAs("go", "'waits'");
    const atomic = heard(session.execute("'atomic'", { atomic: true, signal: cancelling.signal }));
    const lets = heard(session.execute("go(); 'lets'", TIMEOUT));
    setTimeout(() => cancelling.abort("gone"), 60);
    expect(await Promise.all([waits, atomic, lets])).toEqual(["waits", "gone", "lets"]);
  });
});

test("what can never settle ends in a copy, too, where something stood behind it when the copy was made", async () => {
  const origin = await served.client.createSession({ limits: { timeout: 60_000 } });
  const busy = origin.execute("const end = Date.now() + 600; while (Date.now() < end);");
  await sleep(100);
  const waits = heard(origin.execute("await new Promise(() => 0)"));
  await sleep(100);
  const copying = origin.fork();
  await sleep(100);
  expect(await Promise.all([busy, waits, origin.execute("'behind'")])).toEqual([undefined, "DEADLOCK", "behind"]);
  const copy = await copying;
  // It does not before all that it runs has ended.
  await expect.poll(async () => (await copy.info()).state, { timeout: 20_000 }).toBe("HIBERNATED");
});

test("what guest code has called for garbage is not given the time in which a stopped execution is taken away", async () => {
  await session.execute(`
    globalThis.longest = 0; globalThis.from = globalThis.to = Infinity;
    globalThis.registry = new FinalizationRegistry(() => {
      const began = Date.now();
      if (began < from) return;
      while (Date.now() < to) longest = Date.now() - began;
    }); 0`);
  const leaves = `from = Date.now() + 150; to = from + 2_400;
    for (let i = 0; i < 3_000; i++) { const held = { big: [i] }; held.held = held; registry.register(held, 1) }
    await new Promise(() => {})`;
  const other = heard(session.execute("await new Promise((resolve) => setTimeout(resolve, 3_000))", TIMEOUT));
  expect(await heard(session.execute(leaves, { timeout: 300 }))).toBe("TIMEOUT");
  await other;
  // A second is what such a turn has.
  expect(await session.execute("longest")).toBeLessThan(1_500);
});
