import { Handle, hostCall, LivescopeError, NotFoundError, ResourceExhaustedError, type Session } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, withServer } from "../support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  await session.execute(`
    let total = 5;
    function inc(n) { return total += n }
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));`);
});
afterEach(() => session.delete());

/** From when it resolves on the end of an execution is not missed, however soon it comes. */
async function watching(of: Session, kind: "finished" | "failed", executionId: string) {
  const events = of.watch();
  await events.next();
  const ended = async () => {
    for await (const event of events) if (event.kind === kind && event.executionId === executionId) return event;
    throw new Error("the watch ended");
  };
  return { ended: ended() };
}

describe("a fork", () => {
  test("S13: goes its own way, with the handles of its origin", async () => {
    const inc = await session.handle("inc");
    const [one, other] = (await session.fork(2)) as [Session, Session];
    expect(await inc.in(one).call([1])).toBe(6);
    expect(await inc.in(other).call([10])).toBe(15);
    expect(await inc.call([100])).toBe(105);
    expect((await one.info()).parent).toBe(session.id);
    for (const copy of [one, other]) await copy.delete();
    expect(await session.execute("total")).toBe(105);
  });

  test("holds handles of its own, which are released apart from those of its origin", async () => {
    const inc = await session.handle("inc");
    await using copy = await session.fork();
    const there = inc.in(copy);
    expect(there).toBeInstanceOf(Handle);
    expect([there.id, there.preview, there.arity]).toEqual([inc.id, "[Function: inc]", 1]);
    // It is the handle that asking for the value again gives.
    expect(await copy.handle("inc")).toBe(there);
    await inc.release();
    expect(await there.call([1])).toBe(6);
    await there.release();
    expect(await there.call([1])).toBe(7);
    await there.release();
    await expect(there.call([1])).rejects.toThrow(LivescopeError);
  });

  test("does not know handles that its origin made since, and none of its own is one of the origin's", async () => {
    await using copy = await session.fork();
    const here = await session.handle("({ here: 1 })");
    const there = await copy.handle("({ there: 1 })");
    expect(here.id).not.toBe(there.id);
    await expect(here.in(copy).get("here")).rejects.toThrow(NotFoundError);
    await expect(there.in(session).get("there")).rejects.toThrow(NotFoundError);
  });

  test("draws randomness of its own, from all sources, also in forks of forks", async () => {
    const draw = `[Math.random(), crypto.randomUUID(), crypto.getRandomValues(new Uint32Array(2)).join()].join()`;
    // All generators are in the middle of their work when the session is copied.
    await session.execute(draw);
    const copies = await session.fork(3);
    const [first] = copies as [Session];
    copies.push(await first.fork());
    const drawn = await Promise.all([session, ...copies].map((each) => each.execute<string>(draw)));
    const numbers = drawn.flatMap((text) => text.split(","));
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const copy of copies) await copy.delete();
  });

  test("goes on with what was in flight, for itself, and has no outcomes of its origin", async () => {
    const requestId = "6a1c9ad8-7d4c-4d5b-8a6e-7b6c54b0f001";
    await session.execute("inc(1)", { requestId });
    let released = false;
    await using _ = await session.expose({
      wait: async () => {
        while (!released) await new Promise((resolve) => setTimeout(resolve, 5));
      },
    });
    const running = session.execute("await wait(); inc(10)", { requestId: "6a1c9ad8-7d4c-4d5b-8a6e-7b6c54b0f002" });
    await session.execute("0");
    await using copy = await session.fork();
    released = true;
    expect(await running).toBe(16);
    expect(await copy.execute("total")).toBe(6);
    const { ended: finished } = await watching(copy, "finished", "6a1c9ad8-7d4c-4d5b-8a6e-7b6c54b0f002");
    await copy.expose({ wait: () => copy.execute("total = 100") });
    expect(await finished).toMatchObject({ execution: { value: 110, usage: { hostCalls: 1 } } });
    // What ran in the origin runs here: a fork starts without outcomes.
    expect(await copy.execute("inc(1)", { requestId })).toBe(111);
    expect(await session.execute("inc(1)", { requestId })).toBe(6);
  });

  test("makes host calls again that were in flight, by ids of its own", async () => {
    const ids: string[] = [];
    let answer: (value: string) => void = () => undefined;
    const answered = new Promise<string>((resolve) => {
      answer = resolve;
    });
    const ask = (what: string) => {
      ids.push(`${hostCall().session.id} ${hostCall().callId} ${what}`);
      return answered;
    };
    await session.expose({ ask });
    const running = session.execute<string>("await ask('q') + total", { requestId: "in-flight" });
    while (ids.length === 0) await session.execute("0");
    await using copy = await session.fork();
    const { ended: finished } = await watching(copy, "finished", "in-flight");
    await copy.expose({ ask });
    while (ids.length < 2) await copy.execute("0");
    answer("a");
    expect(await running).toBe("a5");
    expect(await finished).toMatchObject({ execution: { value: "a5" } });
    const [here, there] = ids.map((text) => text.split(" ")) as [string[], string[]];
    expect([here[0], here[2], there[0], there[2]]).toEqual([session.id, "q", copy.id, "q"]);
    expect(here[1]).not.toBe(there[1]);
  });

  test("X12: keeps the bindings of what waits for a host function", async () => {
    await session.execute(`
      const cur = new Locals();
      var seen = [];
      async function block(x) {
        return await cur.with({ x }, async () => { const answer = await ask(); seen.push(cur.x); return answer + cur.x });
      }`);
    const answers: ((text: string) => void)[] = [];
    const ask = () => new Promise<string>((resolve) => answers.push(resolve));
    await session.expose({ ask });
    const running = session.call("block", ["in the block"], { requestId: "block", locals: { user: "ann" } });
    while (answers.length === 0) await session.execute("0");
    await using copy = await session.fork();
    const { ended: finished } = await watching(copy, "finished", "block");
    await copy.expose({ ask });
    while (answers.length < 2) await copy.execute("0");
    answers[1]?.("second ");
    expect(await finished).toMatchObject({ execution: { value: "second in the block" } });
    answers[0]?.("first ");
    expect(await running).toBe("first in the block");
    for (const each of [session, copy]) {
      expect(await each.execute("seen")).toEqual(["in the block"]);
      expect(await each.execute("'x' in cur")).toBe(false);
    }
  });

  test("lets later calls wait, too, for a function that its origin had", async () => {
    await session.expose({ ask: () => "here" });
    await session.execute("0");
    await using copy = await session.fork();
    const asking = copy.execute("await ask()");
    await copy.execute("0");
    await copy.expose({ ask: () => "there" });
    expect(await asking).toBe("there");
    await expect(copy.execute("await other()")).rejects.toThrow("'other' is not defined");
  });

  test("says of what ran out of time while it waited for such a function which one that is", async () => {
    await session.expose({ ask: () => "here" });
    await using copy = await session.fork();
    const message =
      "the execution ran into its time limit while it waited for the host function ask, " +
      "which no client provides now; expose it to this session";
    for (const atomic of [false, true]) {
      await expect(copy.execute("await ask()", { timeout: 100, atomic })).rejects.toMatchObject({
        reason: "TIMEOUT",
        message,
      });
    }
    await expect(session.execute("await sleep(60_000)", { timeout: 50 })).rejects.toThrow(/time limit; raise/);
  });

  test("has timers with the time that they had left", async () => {
    await session.execute("var fired = 0; setTimeout(() => { fired++ }, 100); 0");
    await using copy = await session.fork();
    expect(await copy.execute("fired")).toBe(0);
    expect(await copy.execute("await sleep(150); fired")).toBe(1);
  });

  test("stops what is in flight when the time of its request is over", async () => {
    const running = session.execute("await new Promise(() => setTimeout(() => 0, 1e6))", {
      requestId: "slow",
      timeout: 300,
    });
    await session.execute("0");
    await using copy = await session.fork();
    const { ended: failed } = await watching(copy, "failed", "slow");
    await expect(running).rejects.toMatchObject({ reason: "TIMEOUT" });
    expect(await failed).toMatchObject({ error: { reason: "TIMEOUT" } });
    expect(await copy.execute("inc(1)")).toBe(6);
  });

  test("lets an execution go on that nobody takes values of any more", async () => {
    const stream = session.stream<number>("(function* () { for (let i = 0; i < 100; i++) yield total = i })()", {
      requestId: "streaming",
    });
    const values = stream[Symbol.asyncIterator]();
    await values.next();
    await using copy = await session.fork();
    // The one that is read stands still; the other has come to its end.
    while ((await copy.execute("total")) !== 99);
    expect(await session.execute("total")).toBeLessThan(99);
    let count = 1;
    while ((await values.next()).done !== true) count++;
    expect(count).toBe(100);
  });

  test("is made after an atomic execution, and never in the middle of one", async () => {
    const atomic = session.execute("total = 0; await sleep(50); total = 7", { atomic: true });
    while ((await session.info()).usage.turns < 2 && (await session.info()).expireTime !== undefined);
    await using copy = await session.fork();
    expect(await copy.execute("total")).toBe(7);
    expect(await atomic).toBe(7);
  });

  test("waits behind an atomic execution that waits itself, and holds up nothing that one waits for", async () => {
    const running = session.execute("await sleep(200); inc(1)");
    await session.execute("0");
    const atomic = session.execute("total *= 10", { atomic: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await using copy = await session.fork();
    expect(await running).toBe(6);
    expect(await atomic).toBe(60);
    expect(await copy.execute("total")).toBe(60);
  });

  test("has the limits of its origin, labels of its own, and an age of its own", async () => {
    await session.update({ limits: { handles: 7 }, labels: { of: "origin" }, idleTtl: 60_000 });
    await using copy = await session.fork({ labels: { of: "copy" } });
    const info = await copy.info();
    expect(info).toMatchObject({ labels: { of: "copy" }, idleTtl: 60_000, parent: session.id, usage: { turns: 0 } });
    expect(info.limits).toEqual((await session.info()).limits);
    expect(info.limits.handles).toBe(7);
    expect(info.memoryBytes).toBe((await session.info()).memoryBytes);
  });

  test("is made once for a request id", async () => {
    const requestId = "fork-once";
    const [one, two] = (await session.fork(2, { requestId })) as [Session, Session];
    const again = await session.fork(2, { requestId });
    expect(again.map(({ id }) => id)).toEqual([one.id, two.id]);
    await expect(session.fork(3, { requestId })).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    await expect(session.execute("1", { requestId })).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    for (const copy of [one, two]) await copy.delete();
    await expect(session.fork(2, { requestId })).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });

  test("is unchanged by the end of its origin, and ends with it where it was not made yet", async () => {
    const copy = await session.fork();
    await session.delete();
    expect(await copy.execute("inc(1)")).toBe(6);
    const atomic = expect(copy.execute("await sleep(5_000)", { atomic: true })).rejects.toThrow();
    const fork = expect(served.client.attach(copy.id).fork()).rejects.toMatchObject({ code: "ABORTED" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await copy.delete();
    await Promise.all([atomic, fork]);
  });

  test("is not made where there is no room for all", async () => {
    const small = await startServer({ maximumSessions: 4, workers: 1 });
    await using client = await connect(small.address);
    const origin = await client.createSession({ setup: "let n = 1" });
    await expect(origin.fork(4)).rejects.toThrow(ResourceExhaustedError);
    const ids: string[] = [];
    for await (const { sessionId } of client.listSessions()) ids.push(sessionId);
    expect(ids).toEqual([origin.id]);
    expect(await Promise.all((await origin.fork(3)).map((copy) => copy.execute("n")))).toEqual([1, 1, 1]);
    await small.close();
  });

  test.each([0, -1, 1.5])("of count %s is refused", async (count) => {
    await expect(session.fork(count)).rejects.toThrow(RangeError);
  });
});
