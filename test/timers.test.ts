import { GuestError, type Session, StoppedError } from "@livescope/sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  await session.execute("const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)); let log = []");
  return () => session.delete();
});

/** The machine may stand still for longer than a turn has, but not each time. */
async function expectAnswer(asked: Session): Promise<void> {
  let answer: unknown;
  for (let attempt = 0; attempt < 5 && answer !== 42; attempt++) {
    answer = await asked.execute("40 + 2").catch((error) => error);
  }
  expect(answer).toBe(42);
}

describe("a timer", () => {
  test("lets an execution wait, whose turns are counted", async () => {
    const { value, usage } = await session.execute<number>("await sleep(5); await sleep(5); 42").execution();
    expect(value).toBe(42);
    expect(usage.turns).toBe(3);
    expect(usage.wallTime).toBeGreaterThanOrEqual(10);
  });

  test("runs in the order of its time, then of its start, and gets its arguments", async () => {
    const order = await session.execute(`
      for (const [ms, name] of [[20, "c"], [5, "a"], [20, "d"], [6, "b"]]) setTimeout((...args) => log.push(args.join("")), ms, name, ms);
      await sleep(30);
      log.join()`);
    expect(order).toBe("a5,b6,c20,d20");
  });

  test("can be cleared, also by itself, and repeats until it is", async () => {
    const answer = await session.execute(`
      const gone = setTimeout(() => log.push("never"), 1);
      clearTimeout(gone);
      for (const id in { [setTimeout(() => log.push("never"), 1)]: 0, other: 1 }) clearTimeout(id);
      clearTimeout(gone); clearTimeout(undefined); clearTimeout({}); clearInterval(12345);
      let n = 0;
      await new Promise((resolve) => {
        const ticking = setInterval(() => {
          log.push(++n);
          if (n < 3) return;
          clearInterval(ticking);
          setTimeout(resolve, 20);
        }, 1);
      });
      log.join()`);
    expect(answer).toBe("1,2,3");
  });

  test("takes what is no delay for the shortest one, and refuses what is no function", async () => {
    expect(
      await session.execute(`
        for (const delay of [undefined, -1, NaN, "x", 2 ** 31, null, {}]) setTimeout(() => log.push(String(delay)), delay);
        await sleep(5);
        log.length`),
    ).toBe(7);
    await expect(session.execute("setTimeout('code', 1)").execution()).rejects.toMatchObject({
      guestName: "TypeError",
    });
  });

  test("is cleared whole or not at all where the stack has hardly room for it", async () => {
    const missed = await session.execute(`
      const fired = new Set(), kept = new Set(), unsure = new Set(), ids = [];
      for (let i = 0; i < 400; i++) {
        const id = setTimeout(() => fired.add(id), 1 + ((i * 37) % 11));
        ids.push(id);
        kept.add(id);
      }
      const clear = () => {
        const [id] = ids.splice((ids.length * 7) % ids.length, 1);
        kept.delete(id);
        try { clearTimeout(id) } catch { unsure.add(id) }
      };
      // Frames of many sizes: in each the stack ends somewhere else.
      for (let size = 1; size < 14; size++) {
        let left = 14;
        const names = Array.from({ length: size }, (_, i) => "v" + i).join();
        const recursion = "const deeper = (" + names + ") => { try { deeper(" + names + ") } catch {} clear() }; deeper()";
        new Function("clear", recursion)(() => { if (left-- > 0) clear() });
      }
      await sleep(100);
      const wrong = [...fired].filter((id) => !kept.has(id) && !unsure.has(id));
      [[...kept].filter((id) => !fired.has(id)).length, wrong.length, unsure.size > 0]`);
    expect(missed).toEqual([0, 0, true]);
  });

  test("left behind by an execution runs in the next one, and not between", async () => {
    await session.execute("setTimeout(() => log.push('late'), 1); 0");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await session.execute("log.join()")).toBe("late");
  });

  test("keeps its heap in order whatever is cleared", async () => {
    const answer = await session.execute(`
      const ids = [];
      let seed = 7;
      const random = (n) => (seed = (seed * 16807) % 2147483647) % n;
      const due = [];
      for (let i = 0; i < 300; i++) { const ms = 1 + random(40); ids.push(setTimeout(() => due.push([i, ms]), ms)); }
      let cleared = 0;
      for (const id of ids) if (random(3) === 0) { clearTimeout(id); cleared++ }
      await sleep(60);
      // Of two timers the one that was started first, with no longer a delay, is called first.
      const inOrder = due.every(([i, ms], at) => due.slice(at).every(([j, other]) => j >= i || other > ms));
      [due.length + cleared, inOrder]`);
    expect(answer).toEqual([300, true]);
  });
});

describe("executions of one session", () => {
  test("have their timers in order after one of them was stopped that had others between them", async () => {
    const random = "let seed = 7; const random = (n) => (seed = (seed * 16807) % 2147483647) % n;";
    const set = (act: string): string =>
      `for (let i = 0; i < 150; i++) { const ms = 100 + random(100); setTimeout(() => ${act}, ms); }`;
    const lives = session.execute(`globalThis.due = []; ${random} ${set("due.push([i, ms])")} await sleep(250); due`);
    const cancelling = new AbortController();
    const { signal } = cancelling;
    const goes = session.execute(`${random} ${set("0")} ${set("0")} globalThis.areSet = true; await sleep(1e6)`, {
      signal,
    });
    const isStopped = expect(goes).rejects.toThrow();
    await expect.poll(() => session.execute("globalThis.areSet")).toBe(true);
    cancelling.abort();
    await isStopped;
    const due = (await lives) as [number, number][];
    expect(due).toHaveLength(150);
    expect(due.every(([i, ms], at) => due.slice(at).every(([j, other]) => j >= i || other > ms))).toBe(true);
  });

  test("overlap at their awaits", async () => {
    const slow = session.execute("log.push('slow begins'); await sleep(30); log.push('slow ends'); log.join()");
    const quick = session.execute("log.push('quick'); 0");
    await quick;
    expect(await slow).toBe("slow begins,quick,slow ends");
  });

  test("may wait for each other", async () => {
    const waiting = session.execute("await new Promise((resolve) => { globalThis.answer = resolve })");
    const answering = session.execute("answer('from another'); 1");
    expect(await Promise.all([waiting, answering])).toEqual(["from another", 1]);
  });

  test("that can never settle say so at once, all of them", async () => {
    const never = () => session.execute("await new Promise(() => {})");
    const all = await Promise.allSettled([never(), never()]);
    expect(all.map((each) => each.status === "rejected" && each.reason.phase)).toEqual(["DEADLOCK", "DEADLOCK"]);
    const timed = await session
      .execute("setTimeout(() => 1, 20); new Promise(() => {})")
      .execution()
      .catch((error) => error);
    expect(timed).toBeInstanceOf(GuestError);
    expect((timed as GuestError).usage.turns).toBe(2);
  });

  test("that can never settle once another is stopped say so at once", async () => {
    const waits = session.execute("await new Promise((resolve) => { globalThis.settle = resolve })");
    const settles = session.execute("await sleep(1e6); settle()", { timeout: 50 });
    await expect(settles).rejects.toMatchObject({ reason: "TIMEOUT" });
    await expect(waits).rejects.toMatchObject({ phase: "DEADLOCK" });
  });

  test("that can never settle say so at once where the other never ran, or was undone", async () => {
    const limited = await served.client.createSession({ limits: { cpuTime: 100, queuedExecutions: 50 } });
    const never = () => limited.execute("await new Promise(() => {})");
    // In one tick, so that they share a batch.
    const [waits, loops] = [never(), limited.execute("for (;;);")];
    await expect(loops).rejects.toMatchObject({ reason: "CPU_TIME" });
    await expect(waits).rejects.toMatchObject({ phase: "DEADLOCK" });
    const cancelling = new AbortController();
    const busy = limited.execute("const end = Date.now() + 60; while (Date.now() < end); 1");
    // More than one batch takes.
    const many = Array.from({ length: 40 }, () => limited.execute("2", { signal: cancelling.signal }));
    const ended = Promise.allSettled([busy, ...many]);
    const last = expect(never()).rejects.toMatchObject({ phase: "DEADLOCK" });
    setTimeout(() => cancelling.abort(), 20);
    await ended;
    await last;
  });

  test("that can never settle say so at once while an atomic one waits for them", async () => {
    const [waits, atomic] = [session.execute("await new Promise(() => {})"), session.execute("1", { atomic: true })];
    await expect(waits).rejects.toMatchObject({ phase: "DEADLOCK" });
    expect(await atomic).toBe(1);
    const waitsAgain = session.execute("await new Promise((resolve) => { globalThis.settle = resolve })");
    const settles = session.execute("await sleep(1e6); settle()", { timeout: 100 });
    await session.execute("0");
    const atomicAgain = session.execute("2", { atomic: true });
    await expect(settles).rejects.toMatchObject({ reason: "TIMEOUT" });
    await expect(waitsAgain).rejects.toMatchObject({ phase: "DEADLOCK" });
    expect(await atomicAgain).toBe(2);
  });

  test("that wait for an atomic one hear of it at once that it can never settle", async () => {
    const holds = session.execute("await sleep(30); await new Promise(() => {})", { atomic: true });
    const waits = session.execute("3");
    await expect(holds).rejects.toMatchObject({ phase: "DEADLOCK" });
    expect(await waits).toBe(3);
  });

  test("that are stopped cost the next one little, however many timers others have", async () => {
    const limited = await served.client.createSession({ limits: { cpuTime: 1_000 } });
    // Of nobody, when these have ended; those that were set last are due first, which costs a heap most.
    const timers = isLong ? 120_000 : 20_000;
    for (let made = 0; made < timers; made += 4_000) {
      await limited.execute(`for (let i = ${made}; i < ${made + 4_000}; i++) setTimeout(() => 0, 1e9 - i * 10); 0`);
    }
    const stopped = limited.execute("setTimeout(() => 0, 1e6); await new Promise(() => {})", { timeout: 50 });
    await expect(stopped).rejects.toMatchObject({ reason: "TIMEOUT" });
    expect(await limited.execute("40 + 2")).toBe(42);
  });

  test("that wait when their time is up end there, and nothing of them runs on", async () => {
    await session.execute("let n = 1");
    const waits = session.execute("n = 2; try { await sleep(100); n = 3 } finally { n = 4 }", { timeout: 30 });
    const error = await waits.execution().catch((thrown) => thrown);
    expect(error).toBeInstanceOf(StoppedError);
    expect(error).toMatchObject({ reason: "TIMEOUT", undone: false });
    expect(await session.execute("await sleep(150); n")).toBe(2);
  });

  test("that are stopped leave nothing that the next one has to pay for, however many timers they had", async () => {
    const kept = await session.execute("globalThis.n = 0; setTimeout(() => n++, 1e6)");
    const cancelling = new AbortController();
    const many = session.execute(
      `for (let turn = 0; turn < 100; turn++) {
        for (let i = 0; i < 300; i++) setTimeout(() => n++, 5e5 + i);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      globalThis.areSet = true;
      await new Promise(() => {})`,
      { signal: cancelling.signal },
    );
    const stopped = expect(many).rejects.toThrow();
    while ((await session.execute("globalThis.areSet")) !== true);
    await session.update({ limits: { cpuTime: 100 } });
    cancelling.abort();
    await stopped;
    await expectAnswer(session);
    await session.update({ limits: { cpuTime: 5_000 } });
    // What another execution left is there still, or this would end at once; and nothing else is, when that is gone.
    const never = session.execute("await new Promise(() => {})", { timeout: 200 });
    await expect(never).rejects.toMatchObject({ reason: "TIMEOUT" });
    const gone = session.execute(`clearTimeout(${kept}); await new Promise(() => {})`);
    await expect(gone).rejects.toMatchObject({ phase: "DEADLOCK" });
  });

  test("that are stopped by the hundred leave nothing that the next one has to pay for", async () => {
    await session.expose({ hang: () => new Promise(() => {}) });
    const cancelling = new AbortController();
    const { signal } = cancelling;
    const code =
      "for (let i = 0; i < 100; i++) setTimeout(() => 0, 1e6); await Promise.all(Array(20).fill(0).map(hang))";
    const count = isLong ? 250 : 100;
    const all = Array.from({ length: count }, () => session.execute(code, { signal }));
    const stopped = Promise.allSettled(all);
    // It comes after the first turns of all of them.
    await session.execute("0");
    await session.update({ limits: { cpuTime: 100 } });
    cancelling.abort();
    expect((await stopped).every(({ status }) => status === "rejected")).toBe(true);
    await expectAnswer(session);
  });

  test("that loop in a timer are undone to before that timer, and others go on", async () => {
    await session.execute("let n = 1");
    const other = session.execute("await sleep(400); n");
    const loops = session.execute("n = 2; await new Promise(() => setTimeout(() => { n = 3; for (;;); }, 5))", {
      timeout: 100,
    });
    const error = await loops.execution().catch((thrown) => thrown);
    expect(error).toMatchObject({ reason: "TIMEOUT", undone: true });
    expect(await other).toBe(2);
  });

  test("that loop in timers one after the other leave those of others", async () => {
    await session.execute("let n = 1");
    const other = session.execute("await sleep(900); n").execution();
    const loop = "await new Promise(() => setTimeout(() => { n = 2; for (;;); }, 5))";
    const loops = Array.from({ length: 2 }, () => session.execute(loop, { limits: { cpuTime: 100 } }));
    for (const result of await Promise.allSettled(loops))
      expect(result).toMatchObject({ reason: { reason: "CPU_TIME" } });
    const { value, warnings } = await other;
    expect(value).toBe(1);
    expect(warnings).toEqual([]);
  });

  test("learn of a timer that nobody owns and that can never run, and lose nothing else", async () => {
    const limited = await served.client.createSession({ limits: { cpuTime: 100 } });
    await limited.execute("let n = 1; setTimeout(() => { n = 2; for (;;); }, 1); 0");
    await new Promise((resolve) => setTimeout(resolve, 10));
    const { value, warnings } = await limited
      .execute("await new Promise((resolve) => setTimeout(resolve, 1)); n")
      .execution();
    expect(value).toBe(1);
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining("a timer that no execution")]);
    expect((await limited.execute("n").execution()).warnings).toEqual([]);
  });

  test("are cancelled one by one", async () => {
    const abort = new AbortController();
    const cancelled = session.execute("await sleep(10_000); 1", { signal: abort.signal });
    const kept = session.execute("await sleep(50); 2");
    await session.execute("0");
    abort.abort(new Error("enough"));
    await expect(cancelled).rejects.toThrow("enough");
    expect(await kept).toBe(2);
  });
});
