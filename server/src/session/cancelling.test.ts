/** Executions that are cancelled while turns that are not theirs are on their way: they end, and nobody else does. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { endSession, makeSession, execute as run } from "../../../test/support/session-on-engine.js";
import { Engine } from "../engine/engine.js";
import type { SessionMemory } from "../engine/session-memory.js";
import type { Execution } from "./execution.js";
import type { Limits } from "./limits.js";
import type { RunningExecution } from "./running-execution.js";
import type { Session } from "./session.js";

let engine: Engine;
const memories: SessionMemory[] = [];
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
  const create = engine.createMemory.bind(engine);
  vi.spyOn(engine, "createMemory").mockImplementation((bytes) => {
    const memory = create(bytes);
    memories.push(memory);
    return memory;
  });
});
afterAll(() => engine.close());

const sessions: Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await endSession(session);
});

function newSession(limits: Partial<Limits> = {}): Session {
  const session = makeSession(engine, limits);
  sessions.push(session);
  return session;
}

/** What was submitted is with the engine then. */
async function ticks(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
}

const ending = ({ outcome }: Execution): Promise<string> =>
  outcome.then(({ result }) => (result.kind === "stopped" ? result.reason : result.kind), String);

/** As a call of a host function is, it cannot be told to settle never. */
const forEver = "setTimeout(resolve, 3_600_000)";

test("an atomic one is answered when something was being asked of its session, and that is answered too", async () => {
  const session = newSession();
  await ending(run(session, "var n = 1"));
  const atomic = run(session, `n = 2; await new Promise((resolve) => ${forEver})`, true);
  await expect.poll(() => (atomic as RunningExecution).hasCommitted).toBe(true);
  // Has the only thread, so that what is asked waits for it.
  const other = run(newSession(), "for (;;);");
  await ticks();
  const asked = session.inspect({ handleId: undefined, path: "n", maximumProperties: 1 });
  await ticks();
  atomic.cancel();
  other.cancel();
  expect(await ending(atomic)).toBe("CANCELLED");
  expect(JSON.parse(await asked)).toMatchObject({ handle: { preview: "1" } });
});

/** Endings of three, or undefined where the worker has left the rest of the group: what goes on does not run till that is heard. */
async function endingsOfThree(): Promise<string[] | undefined> {
  const session = newSession();
  const waits = run(session, `await new Promise((resolve) => { globalThis.go = resolve; ${forEver} }); for (;;);`);
  await expect.poll(() => (waits as RunningExecution).hasCommitted).toBe(true);
  // It takes longer than what it brings out is held back for, so it is told of before the next turn begins.
  const before = run(session, "for (const end = Date.now() + 5; Date.now() < end; ); 1");
  const goes = run(session, "go(); 2");
  await ticks();
  const { number } = waits as RunningExecution;
  const isRunning = (): boolean => memories.some((memory) => engine.runningExecution(memory) === number);
  // Nothing is heard meanwhile.
  for (const end = performance.now() + 500; !isRunning() && performance.now() < end; );
  const hasRun = isRunning();
  waits.cancel();
  const endings = await Promise.all([waits, before, goes].map(ending));
  return hasRun ? endings : undefined;
}

test("one that goes on in another's turn is answered, and not that other, whatever had ended before and was not heard of yet", async () => {
  let endings: string[] | undefined;
  for (let i = 0; i < 20 && endings === undefined; i++) endings = await endingsOfThree();
  expect(endings).toEqual(["CANCELLED", "value", "value"]);
});

describe("one that goes on in a turn that was on its way when it was cancelled", () => {
  /** Takes longer than a turn may, once it goes on. */
  const cancelled = async (session: Session, code: string, begin: () => void): Promise<string> => {
    const waits = run(session, code);
    while (!(waits as RunningExecution).hasCommitted) await ticks();
    // Has the only thread, so that the turn waits for it.
    const other = run(newSession(), "for (;;);");
    await ticks();
    begin();
    await ticks();
    waits.cancel();
    other.cancel();
    return await ending(waits);
  };

  test("takes no timer away from another", async () => {
    const session = newSession({ cpuTime: 200, timeout: 5_000 });
    const other = run(session, "await new Promise((wake) => setTimeout(wake, 400))");
    const code = "await new Promise((wake) => setTimeout(wake, 100)); for (;;);";
    const isDue = (): void => {
      for (const end = performance.now() + 150; performance.now() < end; );
    };
    expect(await cancelled(session, code, isDue)).toBe("CANCELLED");
    expect(await ending(other)).toBe("value");
  });

  test("is not answered for by who had the turn", async () => {
    const session = newSession({ cpuTime: 200, timeout: 5_000 });
    let goes: Execution | undefined;
    const code = `await new Promise((resolve) => { globalThis.go = resolve; ${forEver} }); for (;;);`;
    // Its last turn is told of as it runs, as the first is.
    const slow = "for (const end = Date.now() + 100; Date.now() < end; );";
    const begin = (): void => {
      goes = run(
        session,
        `console.log(1); go(); await new Promise((wake) => setTimeout(wake, 1)); console.log(2); ${slow} 2`,
      );
    };
    expect(await cancelled(session, code, begin)).toBe("CANCELLED");
    const { result, console } = (await goes?.outcome) ?? {};
    expect([result?.kind, ...(console?.map(({ text }) => text) ?? [])]).toEqual(["value", "1", "2"]);
  });

  test("has nobody wait for what it still does", async () => {
    const session = newSession({ cpuTime: 60_000, timeout: 600_000 });
    let goes: Execution | undefined;
    const code = `await new Promise((resolve) => { globalThis.go = resolve; ${forEver} }); for (;;);`;
    const begin = (): void => {
      goes = run(session, "go(); 2");
    };
    expect(await cancelled(session, code, begin)).toBe("CANCELLED");
    expect(await ending(goes as Execution)).toBe("value");
  });
});

test("a timer that fell due while they were in flight waits for the next one", async () => {
  const session = newSession();
  await ending(run(session, "var n = 0; setTimeout(() => n++, 1_000)"));
  const other = run(newSession(), "for (;;);");
  await ticks();
  const last = run(session, "1");
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  last.cancel();
  other.cancel();
  expect(await ending(last)).toBe("CANCELLED");
  await session.settled();
  const asked = await session.inspect({ handleId: undefined, path: "n", maximumProperties: 1 });
  expect(JSON.parse(asked)).toMatchObject({ handle: { preview: "0" } });
  const { result } = await run(session, "n").outcome;
  expect(result).toMatchObject({ value: { text: "1" } });
});
