import { setTimeout as sleep } from "node:timers/promises";
import {
  type AtomicSession,
  GuestError,
  type HostCallContext,
  Livescope,
  type Session,
  StoppedError,
} from "@livescope/sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";
import { Wire } from "./support/wire-to-server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  await session.execute(`
    let total = 7;
    function inc(n) { return total += n }
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))`);
  return () => session.delete();
});

test("whatever a sequence does in the session belongs to it, through any object of the client", async () => {
  await using inc = await session.handle("inc");
  await using attached = served.client.attach(session.id);
  const sequence = session.atomic(async (tx) => {
    await tx.call("inc", [1]);
    await session.execute("inc(10)");
    await inc.call([100]);
    expect(await attached.execute("inc(1000)")).toBe(1118);
    throw new Error("undo it");
  });
  await expect(sequence).rejects.toThrow("undo it");
  expect(await session.execute("total")).toBe(7);
});

test("a sequence that is stopped while a call of it runs takes that with it, and the next one has its turn", async () => {
  await using short = await served.client.createSession({ limits: { timeout: 200 }, setup: "let n = 0" });
  const endless = short.atomic((tx) => tx.execute("n++; for (;;);"));
  await expect(endless).rejects.toMatchObject({ reason: "TIMEOUT" });
  expect(await short.atomic((tx) => tx.execute("n"))).toBe(0);
});

test.each([
  ["stay given back where it is undone", false, 0],
  ["are there again where the session is rolled back", true, 1],
] as const)("handles that others give back while a sequence holds the session %s", async (_, isRolledBack, left) => {
  const other = served.client.attach(session.id);
  await other.handle("inc");
  const snapshot = await session.snapshot();
  let undo = (): void => undefined;
  let sequence: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve) => {
    sequence = session.atomic(async (tx) => {
      await tx.call("inc", [1]);
      resolve();
      await new Promise<void>((end) => (undo = end));
      throw new Error("undo it");
    });
    sequence.catch(() => undefined);
  });
  await other[Symbol.asyncDispose]();
  expect((await session.info()).handleCount).toBe(0);
  if (isRolledBack) await session.rollback(snapshot);
  undo();
  await expect(sequence).rejects.toThrow();
  expect(await session.execute("total")).toBe(7);
  expect((await session.info()).handleCount).toBe(left);
});

test("what comes after its end in its last turn is undone with it, and calls nobody", async () => {
  const called: string[] = [];
  await session.expose({ note: (what: string) => void called.push(what) });
  const late = "(async () => { for (let i = 0; i < 50; i++) await 0; await note('late') })()";
  const failing = session.execute(`${late}; await 0; throw new Error("undo it")`, { atomic: true });
  await expect(failing).rejects.toThrow("undo it");
  await session.execute("await note('then')");
  expect(called).toEqual(["then"]);
});

describe("a host function that a sequence left to run", () => {
  // Made by a call of the sequence that ends first, or by what that left behind.
  const asks = ["ask()", "sleep(1).then(() => ask())"];

  test.each(asks)("calls back within the sequence: %s", async (ask) => {
    let goOn = (): void => undefined;
    const hasEnded = new Promise<void>((resolve) => (goOn = resolve));
    await session.expose({
      ask: async ({ session: mine }: HostCallContext) => {
        await hasEnded;
        return await mine.execute("inc(1)");
      },
    });
    const answers = session.atomic(async (tx) => {
      await tx.execute(`globalThis.answer = ${ask}; 0`);
      goOn();
      return [await tx.execute("await answer"), await tx.execute("total")];
    });
    expect(await answers).toEqual([8, 8]);
  });

  test("is answered, whatever it does", async () => {
    await session.expose({ ask: () => sleep(5) });
    await session.atomic(async (tx) => {
      await tx.execute("globalThis.answer = [ask(), sleep(1).then(() => ask())]; 0");
      await tx.execute("await Promise.all(answer)");
    });
  });

  test.each(asks)("calls back in vain when that is undone: %s", async (ask) => {
    let begin = (): void => undefined;
    const hasBegun = new Promise<void>((resolve) => (begin = resolve));
    let late: Promise<unknown> | undefined;
    await session.expose({
      ask: async ({ session: mine, signal }: HostCallContext) => {
        begin();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        late = mine.execute("inc(1)").catch((error: unknown) => error);
        await late;
      },
    });
    const sequence = session.atomic(async (tx) => {
      await tx.execute(`globalThis.answer = ${ask}; 0`);
      tx.execute("await answer").catch(() => undefined);
      await hasBegun;
      throw new Error("undo it");
    });
    await expect(sequence).rejects.toThrow("undo it");
    await expect.poll(() => late).toBeDefined();
    expect(await late).toMatchObject({ reason: "CANCELLED" });
    expect(await session.execute("total")).toBe(7);
  });
});

test("a sequence is undone that the session's own code ends before its callback does", async () => {
  await session.execute(`
    Object.defineProperty(Promise.prototype, "constructor", { value: function () {}, configurable: true });
    Promise.prototype.then = function (then) { then() };`);
  const sequence = session.atomic((tx) => tx.call("inc", [1]));
  await expect(sequence).rejects.toThrow("the session's code ended the sequence before its callback did");
  expect(await session.execute("total")).toBe(7);
});

describe.each(["connect", "unary"] as const)("the callback of a sequence, over %s,", (transport) => {
  test.each(["timeout", "abort", "cut", "throw"] as const)(
    "can run nothing once that has failed by %s",
    async (how) => {
      const wire = new Wire(served.server.address);
      await using client = await Livescope.connect(await wire.open(), { transport });
      const abort = new AbortController();
      let fail = (): void => undefined;
      const failed = new Promise<void>((resolve) => (fail = resolve));
      let late: Promise<unknown> | undefined;
      const options = { signal: abort.signal, ...(how === "timeout" && { timeout: 2_000 }) };
      const mine = client.attach(session.id);
      const goOn = async (tx: AtomicSession): Promise<void> => {
        await failed;
        const calls = [tx.execute("inc(100)"), tx.call("inc", [100]), tx.handle("inc(100)"), mine.execute("inc(100)")];
        late = Promise.allSettled(calls);
        await late;
      };
      const sequence = mine.atomic(async (tx) => {
        const going = goOn(tx);
        await tx.execute("inc(1)");
        if (how === "abort") abort.abort(new Error("enough"));
        if (how === "cut") wire.cut();
        if (how === "throw") throw new Error("no");
        await going;
      }, options);
      const error: unknown = await sequence.catch((thrown: unknown) => thrown);
      fail();
      await expect.poll(() => late).toBeDefined();
      const refused = { status: "rejected", reason: { name: "DisposedError", cause: error } };
      expect(await late).toMatchObject([refused, refused, refused, refused]);
      await expect.poll(() => session.execute("total")).toBe(7);
      // Whoever does not belong to the sequence is free to go on.
      expect(await mine.execute("total")).toBe(7);
      wire.close();
    },
  );
});

describe("an atomic execution", () => {
  test("S18: that throws is undone, also what it did before an await", async () => {
    const error = await session
      .execute("total = 50; console.log('gone'); await sleep(5); total = 60; throw new Error('x')", { atomic: true })
      .execution()
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({ message: "x", undone: true });
    expect(error.console).toMatchObject([{ text: "gone", undone: true }]);
    expect(await session.execute("total")).toBe(7);
  });

  test("that ends well stands", async () => {
    const { value, undone } = await session.execute("total = 50; await sleep(5); inc(1)", { atomic: true }).execution();
    expect([value, undone]).toEqual([51, false]);
    expect(await session.execute("total")).toBe(51);
  });

  test.each([
    ["in a loop", "total = 50; await sleep(5); for (;;);", "TIMEOUT"],
    ["while it waits", "total = 50; await sleep(10_000)", "TIMEOUT"],
    ["for its memory", "total = 50; await sleep(5); const a = []; for (;;) a.push(new Array(1e5).fill(1))", "MEMORY"],
  ])("that is stopped %s is undone whole", async (_where, code, reason) => {
    const error = await session
      .execute(code, { atomic: true, timeout: reason === "MEMORY" ? 20_000 : 300 })
      .execution()
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(StoppedError);
    expect(error).toMatchObject({ reason, undone: true });
    expect(await session.execute("inc(1)")).toBe(8);
  });

  test("waits until no other is in flight, and holds the session alone", async () => {
    await session.execute("var log = []");
    const before = session.execute("log.push('a1'); await sleep(20); log.push('a2')");
    const atomic = session.execute("log.push('b1'); await sleep(20); log.push('b2')", { atomic: true });
    const after = session.execute("log.push('c')");
    await Promise.all([before, atomic, after]);
    expect(await session.execute("log.join()")).toBe("a1,a2,b1,b2,c");
  });

  test("that waits in the queue can be cancelled, and those behind it go on", async () => {
    const abort = new AbortController();
    const before = session.execute("await sleep(30); 1");
    const atomic = session.execute("total = 50", { atomic: true, signal: abort.signal });
    const after = session.execute("total");
    await session.inspect("total").catch(() => undefined);
    abort.abort(new Error("enough"));
    await expect(atomic).rejects.toThrow("enough");
    expect(await Promise.all([before, after])).toEqual([1, 7]);
  });

  test("that is stopped while it waits for another atomic one undoes nothing of that one", async () => {
    const abort = new AbortController();
    const holding = session.execute(
      "total = 50; await sleep(20); const grown = []; for (let i = 0; i < 1e5; i++) grown.push({ i }); await sleep(20); inc(1)",
      { atomic: true },
    );
    const waiting = session.execute("total = 0", { atomic: true, signal: abort.signal });
    await new Promise((resolve) => setTimeout(resolve, 10));
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    expect(await holding).toBe(51);
    expect(await session.execute("total")).toBe(51);
  });

  test("keeps the session usable however often it fails, on whatever has grown meanwhile", async () => {
    for (let i = 0; i < 5; i++) {
      const failing = session.execute("globalThis.big = new Array(5e5).fill(i => i); await sleep(1); throw 1", {
        atomic: true,
      });
      await expect(failing.execution()).rejects.toThrow();
      expect(await session.execute("inc(1)")).toBe(8 + i);
      expect(await session.execute("typeof big")).toBe("undefined");
    }
  });

  test("brings timers back that ran in it", async () => {
    await session.execute("var fired = 0; setTimeout(() => { fired++ }, 10); 0");
    await expect(session.execute("await sleep(30); throw fired", { atomic: true }).execution()).rejects.toMatchObject({
      thrown: 1,
    });
    expect(await session.execute("await sleep(30); fired")).toBe(1);
  });
});
