/** Copies of sessions that are in the middle of everything: each is the session between two turns. */
import type { Session } from "@livescope/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";

const ROUNDS = isLong ? 20 : 1;

// Each turn on another worker than the one before: what one of them still holds must not count.
const served = withServer({ rotateWorkers: true });
let session: Session;
let isOver = false;
let lanes: Promise<void>[] = [];

/** Within a turn the two counters differ; between turns they never do. */
const SETUP = `
  let a = 0, b = 0, grown = [];
  function step(n) {
    a++;
    for (let i = 0; i < n; i++) grown.push({ i });
    if (grown.length > 20_000) grown = [];
    b++;
    return a - b;
  }
  async function steps(n) { step(n); await new Promise((resolve) => setTimeout(resolve, 1)); return step(n) }
  function fails() { a++; throw new Error(String(b++)) }
  function stuck() { a++; new Array(1e9) + "" }`;

/** Asks for the same again and again until the test is over. */
function lane(work: () => Promise<unknown>): void {
  const run = async (): Promise<void> => {
    while (!isOver) await work().catch(() => undefined);
  };
  lanes.push(run());
}

beforeEach(async () => {
  isOver = false;
  lanes = [];
  session = await served.client.createSession({ setup: SETUP });
  lane(() => session.call("step", [500]));
  lane(() => session.call("steps", [100]));
  lane(() => session.call("steps", [1]));
  lane(() => session.call("fails"));
  lane(() => session.execute("step(10); throw 1", { atomic: true }));
  // Ends a worker each time.
  lane(() => session.call("stuck", [], { timeout: 100 }));
});
afterEach(async () => {
  isOver = true;
  await Promise.all(lanes);
  await session.delete();
});

const IS_WHOLE = "a === b && grown.every(({ i }) => i >= 0)";

test("forks of a busy session are whole, and go on", { timeout: 60_000 }, async () => {
  for (let i = 0; i < ROUNDS; i++) {
    const copies = await session.fork(3);
    for (const copy of copies) {
      expect(await copy.execute(IS_WHOLE)).toBe(true);
      expect(await copy.call("steps", [100])).toBe(0);
      await copy.delete();
    }
  }
  expect(await session.execute(IS_WHOLE)).toBe(true);
});

test("snapshots of a busy session are whole, and so is what they bring back", { timeout: 60_000 }, async () => {
  for (let i = 0; i < ROUNDS; i++) {
    const snapshot = await session.snapshot();
    await using made = await served.client.createSession({ from: snapshot });
    expect(await made.execute(IS_WHOLE)).toBe(true);
    const then = await made.execute<number>("a");
    // What was in flight then goes on in what was made of it, and has ended in what was put back.
    await session.rollback(snapshot);
    expect(await session.execute(IS_WHOLE)).toBe(true);
    expect(await made.call("step", [1])).toBe(0);
    expect(await made.execute("a")).toBeGreaterThan(then);
    await served.client.deleteSnapshot(snapshot);
  }
});
