/** A machine's clock that is set while a session waits: nothing of it comes late or early by that, and it does not end by it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  ending,
  endSession,
  execute,
  executeTillLogged,
  makeSession,
} from "../../../test/support/session-on-engine.js";
import { create, startSessions, TestStore } from "../../../test/support/sessions-on-store.js";
import { settableClock } from "../../../test/support/set-clock.js";
import { Engine } from "../engine/engine.js";
import type { Execution } from "./execution.js";
import { Session } from "./session.js";

const clock = settableClock();
let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(async () => {
  clock.restore();
  await engine.close();
});

let session: Session;
beforeEach(async () => {
  session = makeSession(engine);
  await ending(run("const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms)); var isDue = false"));
  return () => endSession(session);
});
afterEach(() => clock.set(0));

const run = (code: string, atomic = false): Execution => execute(session, code, atomic);

const WAYS = [
  ["set back", -7_200_000],
  ["put forward", 7_200_000],
] as const;

test.each(WAYS)("guest code is told the time that it was %s to", async (_how, ahead) => {
  clock.set(ahead);
  const told = Number(await ending(run("Date.now()")));
  expect(Math.abs(told - Date.now())).toBeLessThan(60_000);
});

describe.each(WAYS)("%s", (_how, ahead) => {
  test("a timer is not due before its time is over", async () => {
    await ending(run("setTimeout(() => (isDue = true), 3_600_000)"));
    clock.set(ahead);
    expect(await ending(run("await sleep(1); isDue"))).toBe("false");
  });

  test("it is when that is over", async () => {
    const waiting = run("await sleep(1_000); 'woken'");
    await ending(run("0"));
    clock.set(ahead);
    expect(await ending(waiting)).toBe('"woken"');
  });

  test("also where it is started in the turn in which the clock is set", async () => {
    const code = `
      console.log("begun");
      const before = Date.now();
      while (Math.abs(Date.now() - before) < 1_000_000);
      setTimeout(() => (isDue = true), 3_600_000);
    `;
    const begun = await executeTillLogged(session, code);
    clock.set(ahead);
    await ending(begun);
    expect(await ending(run("await sleep(1); isDue"))).toBe("false");
    expect(await ending(run("await sleep(100); 'woken'"))).toBe('"woken"');
  });

  test("those of a session that an atomic execution is undone in have the time that they had left", async () => {
    await ending(run("setTimeout(() => (isDue = true), 3_600_000)"));
    const atomic = run("await sleep(500); throw 1", true);
    clock.set(ahead);
    expect(await ending(atomic)).toBe("exception");
    expect(await ending(run("await sleep(1); isDue"))).toBe("false");
  });

  test("those of a copy have the time that they had left", async () => {
    await ending(
      run("setTimeout(() => (isDue = true), 3_600_000); setTimeout(() => (isSoonDue = true), 1); var isSoonDue"),
    );
    const saved = await session.save(() => Promise.resolve());
    clock.set(ahead);
    const { sessionId, ...init } = { ...session.info, sessionId: "b" };
    const copy = await Session.restore(engine, { sessionId, ...init }, saved);
    expect(await ending(execute(copy, "await sleep(100); [isSoonDue, isDue]"))).toBe("[true,false]");
    await endSession(copy);
  });

  test("what lasts is measured as it lasts", async () => {
    await ending(run("const before = performance.now(); console.time('a')"));
    clock.set(ahead);
    const lasted = Number(await ending(run("await sleep(100); performance.now() - before")));
    expect(lasted).toBeGreaterThanOrEqual(100);
    expect(lasted).toBeLessThan(3_600_000);
    const { console } = await run("console.timeEnd('a')").outcome;
    expect(console.map(({ text }) => text)).toEqual([expect.stringMatching(/^a: [\d.]+m?s$/)]);
  });

  test("also where nobody measured before, and by events", async () => {
    clock.set(ahead);
    const code = `
      const before = performance.now(), first = new Event("a").timeStamp;
      await sleep(100);
      [before, performance.now() - before, first, new Event("b").timeStamp - first]`;
    const [before, lasted, first, between] = JSON.parse(await ending(run(code))) as [number, number, number, number];
    for (const passed of [before, first]) {
      expect(passed).toBeGreaterThanOrEqual(0);
      expect(passed).toBeLessThan(3_600_000);
    }
    for (const measured of [lasted, between]) {
      expect(measured).toBeGreaterThanOrEqual(99);
      expect(measured).toBeLessThan(3_600_000);
    }
  });
});

test.each(WAYS)("a session that was just used is as long from its end as it was when it is %s", async (_how, jump) => {
  const { expiresAt, lastUsedAt } = session;
  clock.set(jump);
  const moved = session.lastUsedAt - lastUsedAt;
  expect(Math.abs(moved - jump)).toBeLessThan(1_000);
  expect(session.expiresAt - expiresAt).toBe(moved);
  // To look is no use of it.
  expect(session.info.lastUsedAt).toBe(session.lastUsedAt);
});

test("and is found in memory then", async () => {
  const { sessions } = startSessions(engine, new TestStore(), { hibernateAfter: 60_000 });
  await create(sessions, "a", { idleTtl: 60_000 });
  clock.set(7_200_000);
  expect(await sessions.info("a")).toMatchObject({ sessionId: "a", isHibernated: false });
  await sessions.delete("a");
});
