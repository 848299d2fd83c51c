/** A machine's clock that is set while a session waits: nothing of it comes late or early by that, and it does not end by it. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { ending, endSession, execute, makeSession } from "../../../test/support/session-on-engine.js";
import { create, reasonOf, run as runIn, startSessions, TestStore } from "../../../test/support/sessions-on-store.js";
import { Engine } from "../engine/engine.js";
import type { Execution } from "./execution.js";
import { Session } from "./session.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

let session: Session;
beforeEach(async () => {
  session = makeSession(engine);
  await ending(run("const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms)); var isDue = false"));
  return () => endSession(session);
});
afterEach(() => void vi.restoreAllMocks());

const { now } = Date;
/** As this thread sees it: that on which guest code runs sees the clock as it was. */
function setClock(milliseconds: number): void {
  vi.spyOn(Date, "now").mockImplementation(() => now() + milliseconds);
}

const run = (code: string, atomic = false): Execution => execute(session, code, atomic);

/** What of it has been told to the kernel. */
function toldOf(run: { readonly mock: { readonly calls: Parameters<Engine["run"]>[] } }): number[] {
  const inputs = run.mock.calls.flatMap(([, specs]) => specs.map(({ input }) => input));
  return inputs.flatMap((input) => (input.kind === "restored" ? [Math.round(input.rest / 1_000)] : []));
}

test.each([
  ["set back", -3_600_000],
  ["put forward", 3_600_000],
])("the kernel moves its timers by as much as it was %s, before anything else runs", async (_how, jump) => {
  const posted = vi.spyOn(engine, "run");
  await ending(run("setTimeout(() => (isDue = true), 3_600_000)"));
  setClock(jump);
  expect(await ending(run("1"))).toBe("1");
  expect(await ending(run("2"))).toBe("2");
  expect(toldOf(posted)).toEqual([jump / 1_000]);
  expect(posted.mock.calls.map(([, [spec]]) => spec?.input.kind)).toEqual(["run", "restored", "run", "run"]);
});

test("a timer falls due when its time is over, though it was set back meanwhile", async () => {
  const waiting = run("await sleep(1_000); 'woken'");
  await ending(run("0"));
  setClock(-3_600_000);
  expect(await ending(waiting)).toBe('"woken"');
});

test("what an atomic execution is put back to knows of it too", async () => {
  const posted = vi.spyOn(engine, "run");
  await ending(run("setTimeout(() => (isDue = true), 3_600_000)"));
  const atomic = run("await sleep(100); throw 1", true);
  await expect.poll(() => posted.mock.calls.length).toBe(2);
  setClock(-3_600_000);
  expect(await ending(atomic)).toBe("exception");
  // Its own timers were moved, and then those of before, which are there again.
  expect(await ending(run("while (!isDue) await sleep(1); isDue"))).toBe("true");
  expect(toldOf(posted)).toEqual([-3_600, -3_600]);
});

test("also where it is set between the moment when a large session is set aside and the first turn", async () => {
  await ending(run("setTimeout(() => (isDue = true), 3_600_000); var bytes = new Uint8Array(8 << 20)"));
  const copy = engine.copyImage.bind(engine);
  vi.spyOn(engine, "copyImage").mockImplementation(async (memory) => {
    const image = await copy(memory);
    setClock(-3_600_000);
    return image;
  });
  expect(await ending(run("throw 1", true))).toBe("exception");
  expect(await ending(run("await sleep(1); isDue"))).toBe("true");
});

test("one that is cancelled while the kernel moves its timers is put back when that is done", async () => {
  const post = engine.run.bind(engine);
  await ending(run("setTimeout(() => (isDue = true), 7_200_000)"));
  const atomic = run("await sleep(60_000)", true);
  const posted = vi.spyOn(engine, "run");
  await expect.poll(() => posted.mock.calls.length).toBe(1);
  posted.mockImplementation((memory, specs) => {
    const turns = post(memory, specs);
    if (specs[0]?.input.kind === "restored") atomic.cancel();
    return turns;
  });
  setClock(-3_600_000);
  const next = run("await sleep(1); isDue");
  expect(await ending(atomic)).toBe("CANCELLED");
  // It would be due, had they been moved twice.
  expect(await ending(next)).toBe("false");
  expect(toldOf(posted)).toEqual([-3_600, -3_600]);
});

test("a copy has the time that a timer had left, also where the clock is behind that of then", async () => {
  await ending(run("setTimeout(() => (isDue = true), 3_600_000)"));
  const saved = await session.save(() => Promise.resolve());
  await session.settled();
  setClock(-3_600_000);
  const posted = vi.spyOn(engine, "run");
  const { sessionId, ...init } = { ...session.info, sessionId: "b" };
  const copy = await Session.restore(engine, { sessionId, ...init }, saved);
  await endSession(copy);
  expect(toldOf(posted)).toEqual([-3_600]);
});

test.each([
  ["put forward", 3_600_000],
  ["set back", -3_600_000],
])("a session that was just used is as long from its end as it was when it is %s", async (_how, jump) => {
  const { expiresAt, lastUsedAt } = session;
  setClock(jump);
  const moved = session.lastUsedAt - lastUsedAt;
  expect(Math.abs(moved - jump)).toBeLessThan(1_000);
  expect(session.expiresAt - expiresAt).toBe(moved);
  // To look is no use of it.
  expect(session.info.lastUsedAt).toBe(session.lastUsedAt);
});

test("and is found in memory then", async () => {
  const { sessions } = startSessions(engine, new TestStore(), { hibernateAfter: 60_000 });
  await create(sessions, "a", { idleTtl: 60_000 });
  setClock(3_600_000);
  expect(await sessions.info("a")).toMatchObject({ sessionId: "a", isHibernated: false });
  await sessions.delete("a");
});

test("nothing is run in a durable session that has left memory, as the store failed while the clock was set", async () => {
  const store = new TestStore();
  const { sessions } = startSessions(engine, store, { maximumDurable: 1 });
  await create(sessions, "a", { isDurable: true });
  const commit = store.hold("commit");
  const lost = reasonOf(runIn(sessions, "a", "setTimeout(() => undefined, 3_600_000)"));
  await commit.met;
  setClock(-3_600_000);
  const posted = vi.spyOn(engine, "run");
  store.failing.add("commit");
  commit.open();
  expect(await lost).toBe("STORE_FULL");
  store.failing.clear();
  expect(await runIn(sessions, "a", "1")).toBe(1);
  expect(posted.mock.calls.map(([, [spec]]) => spec?.input.kind)).toEqual(["run"]);
  await sessions.delete("a");
});
