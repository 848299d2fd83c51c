import { types } from "node:util";
import {
  GuestError,
  InvalidRequestError,
  type Limits,
  Livescope,
  NotFoundError,
  Preview,
  ResourceExhaustedError,
  type Session,
  StoppedError,
} from "@livescope/sdk";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { withServer } from "../support/server.js";

const served = withServer();
let client: Livescope;
let session: Session;
beforeAll(() => {
  client = served.client;
});

beforeEach(async () => {
  session = await client.createSession();
});

afterEach(async () => {
  await session?.[Symbol.asyncDispose]();
});

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable("it should fail"),
    (error: unknown) => error,
  );
}

describe("a function keeps its scope", () => {
  it("when it is called by name", async () => {
    await session.execute("let total = 0; function inc(n) { return total += n }");
    const inc = session.fn<[n: number], number>("inc");
    expect([await inc(5), await inc(2), await session.execute("total")]).toStrictEqual([5, 7, 7]);
    await session.execute("total = 100");
    expect(await inc(1)).toBe(101);
  });

  it("and takes undefined for what an array of arguments lacks", async () => {
    await session.execute("const texts = (...args) => args.map(String).join()");
    // biome-ignore lint/suspicious/noSparseArray: that is what is tested
    expect(await session.call("texts", [1, , 2])).toBe("1,undefined,2");
  });

  it("when it is a method", async () => {
    await session.execute("const c = (() => { let n = 0; return { up: () => ++n, get: () => n } })()");
    expect(await session.call("c.up")).toBe(1);
    expect(await session.call("c.up")).toBe(2);
    expect(await session.call("c.get")).toBe(2);
  });

  it("that includes its bindings, which nobody else sees", async () => {
    expect(await session.execute("var g = () => x; g()", { bindings: { x: 10 } })).toBe(10);
    expect(await session.execute("typeof x")).toBe("undefined");
    expect(await session.call("g")).toBe(10);
  });

  it("when forty calls come at once", async () => {
    await session.execute("let total = 0; function inc() { return ++total }");
    const clients = await Promise.all(Array.from({ length: 8 }, () => Livescope.connect(served.server.address)));
    try {
      const calls = clients.flatMap((other) => {
        const inc = other.attach(session.id).fn<[], number>("inc");
        return Array.from({ length: 5 }, () => inc());
      });
      const results = await Promise.all(calls);
      expect(results.sort((a, b) => a - b)).toStrictEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    } finally {
      for (const other of clients) other.close();
    }
  });
});

describe("a value", () => {
  it.each<[string, unknown]>([
    ["null", null],
    ["true", true],
    ["a number", 0.1],
    ["text with everything in it", 'é\u0000"\\\n\u2028😀\ud800'],
    ["an array", [1, "a", [], null]],
    ["an object", { b: 1, a: { "": [0] } }],
    ["an own __proto__", JSON.parse('{"__proto__":{"x":1},"y":2}')],
    ["undefined", undefined],
  ])("goes in and comes out as it was: %s", async (_, value) => {
    await session.execute("function identity(value) { return value }");
    const result = await session.call("identity", [value]);
    expect(result).toStrictEqual(value);
    expect(await session.execute("value", { bindings: { value } })).toStrictEqual(value);
  });

  it("keeps the order of its keys", async () => {
    expect(Object.keys(await session.execute<object>("({ z: 1, a: 2, m: 3 })"))).toStrictEqual(["z", "a", "m"]);
  });

  it("is sent as it is when it is passed, bytes as well", async () => {
    const bytes = new Uint8Array([1, 2]);
    const sent = session.execute("[...bytes]", { bindings: { bytes } });
    bytes.fill(9);
    expect(await sent).toStrictEqual([1, 2]);
  });

  it("is awaited", async () => {
    expect(await session.execute("Promise.resolve([1])")).toStrictEqual([1]);
    expect(await session.execute("await Promise.resolve(2) + 1")).toBe(3);
  });
});

describe("an execution", () => {
  it("tells what it wrote and cost", async () => {
    const code = "console.log('hello', { a: 1 }); console.warn('careful'); 7";
    const { value, console, usage, executionId, warnings, undone } = await session.execute(code).execution();
    expect(value).toBe(7);
    expect(console.map(({ level, undone }) => [level, undone])).toStrictEqual([
      ["log", false],
      ["warn", false],
    ]);
    expect(console[0]?.text).toMatch(/^hello \{ ?"?a"?: 1 ?\}$/);
    expect(console[0]?.time).toBeInstanceOf(Date);
    expect(usage.wallTime).toBeGreaterThan(0);
    expect(usage.turns).toBe(1);
    expect(usage.memoryBytes).toBeGreaterThan(0);
    expect(executionId).toMatch(/^[0-9a-f-]{36}$/);
    expect([warnings, undone]).toStrictEqual([[], false]);
  });

  it("is made once for one request id", async () => {
    await session.execute("let total = 0; function inc(n) { return total += n }");
    const requestId = crypto.randomUUID();
    expect(await session.call("inc", [5], { requestId })).toBe(5);
    expect(await session.call("inc", [5], { requestId })).toBe(5);
    expect(await session.execute("total")).toBe(5);
    await expect(session.call("inc", [6], { requestId })).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
  });

  it("needs no session", async () => {
    expect(await client.execute("a + 1", { bindings: { a: 1 } })).toBe(2);
    const preview = await client.execute("(a, b) => 1");
    expect(preview).toBeInstanceOf(Preview);
    expect(preview).toMatchObject({ type: "function", arity: 2 });
    await expect(client.execute("throw new RangeError('no')")).rejects.toMatchObject({ guestName: "RangeError" });
  });
});

describe("a guest's failure", () => {
  it("is a GuestError with what the guest said", async () => {
    const code =
      "console.log('before');\nfunction bad() { throw new TypeError('no', { cause: new Error('why') }) }\nbad()";
    const error = await failureOf(session.execute(code, { filename: "main.js" }));
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({
      guestName: "TypeError",
      message: "no",
      phase: "EVALUATE",
      undone: false,
      thrown: undefined,
      cause: { guestName: "Error", message: "why" },
      console: [{ text: "before" }],
    });
    const { frames, stack, guestStack } = error as GuestError;
    expect(frames[0]).toMatchObject({ functionName: "bad", filename: "main.js", line: 2 });
    expect(guestStack).toContain("bad");
    expect(stack).toMatch(/^TypeError: no\n {4}at bad \(main\.js:2:\d+\)\n/);
    expect(stack).toContain("executions.test.ts");
    expect(await session.execute("1 + 1")).toBe(2);
  });

  it("says where the source does not parse", async () => {
    const error = await failureOf(session.execute("let a = 1;\nlet b = ;", { filename: "broken.js" }));
    expect(error).toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    expect((error as GuestError).frames[0]).toMatchObject({ filename: "broken.js", line: 2 });
  });

  it("may throw what is no Error", async () => {
    await expect(session.execute("throw { code: 7 }")).rejects.toMatchObject({ guestName: "", thrown: { code: 7 } });
    await expect(session.execute("throw undefined")).rejects.toMatchObject({ guestName: "", thrown: undefined });
  });

  it("may be a rejection, or a promise that cannot settle", async () => {
    await expect(session.execute("Promise.reject(new Error('later'))")).rejects.toMatchObject({
      message: "later",
      phase: "REJECTION",
    });
    await expect(session.execute("new Promise(() => {})")).rejects.toMatchObject({ phase: "DEADLOCK" });
  });

  it("is a path that leads nowhere", async () => {
    await expect(session.call("no.such.thing")).rejects.toThrow(GuestError);
  });

  it("is not what is wrong with the request", async () => {
    await expect(session.execute("1", { bindings: { "a b": 1 } })).rejects.toThrow(InvalidRequestError);
    await expect(client.attach("nobody").execute("1")).rejects.toThrow(NotFoundError);
  });
});

describe("an execution is stopped", () => {
  it("at its timeout, and leaves nothing behind", async () => {
    await session.execute("let total = 7");
    const code = "console.log('in'); total = 8; for (;;);";
    const error = await failureOf(session.execute(code, { timeout: 200 }));
    expect(error).toBeInstanceOf(StoppedError);
    expect(error).toMatchObject({ reason: "TIMEOUT", undone: true, console: [{ text: "in" }] });
    expect((error as StoppedError).message).not.toBe("");
    expect(await session.execute("total")).toBe(7);
  });

  it("also at the timeout of limits that are a session's, where it is given none", async () => {
    const limits: Limits = { timeout: 200, memoryBytes: 32 << 20 };
    const begin = performance.now();
    await expect(session.execute("for (;;);", { limits })).rejects.toMatchObject({ reason: "TIMEOUT" });
    expect(performance.now() - begin).toBeLessThan(5_000);
    expect(
      await session.execute("const end = Date.now() + 400; while (Date.now() < end);", { limits, timeout: 5_000 }),
    ).toBe(undefined);
  });

  it("when a turn holds a worker for too long", async () => {
    const limits = { cpuTime: 50 };
    await expect(session.execute("for (;;);", { limits })).rejects.toMatchObject({ reason: "CPU_TIME" });
  });

  it("with others by the signal that they share, of which nobody is warned", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error): void => void warnings.push(warning);
    process.on("warning", warn);
    try {
      const shared = new AbortController();
      const { signal } = shared;
      const done = await Promise.all(Array.from({ length: 20 }, (_, i) => session.execute(`${i}`, { signal })));
      expect(done).toEqual(Array.from({ length: 20 }, (_, i) => i));
      const all = Array.from({ length: 20 }, () =>
        session.execute("await new Promise((r) => setTimeout(r, 1e6))", { signal }),
      );
      const ended = Promise.allSettled(all);
      await session.execute("0");
      shared.abort("no more");
      expect((await ended).map((each) => each.status === "rejected" && each.reason)).toEqual(Array(20).fill("no more"));
      // Warnings come a tick later.
      await new Promise(setImmediate);
      expect(warnings).toEqual([]);
    } finally {
      process.off("warning", warn);
    }
  });

  it("by a signal that outlives many, which keeps nothing of them", async () => {
    const { signal } = new AbortController();
    for (let i = 0; i < 20; i++) {
      await session.execute("1", { signal });
      await session.execute("1", { signal, onConsole: () => undefined });
    }
    // Sets of an engine's own: of the listeners, and of the signals made of this one.
    const own = Object.getOwnPropertySymbols(signal).map((symbol) => Reflect.get(signal, symbol));
    const kept = own.filter((each) => types.isSet(each) || types.isMap(each)).map(({ size }) => size);
    expect(Math.max(0, ...kept)).toBeLessThan(5);
  });

  it("when its signal is aborted, wherever it is", async () => {
    const [abortRunning, abortWaiting] = [new AbortController(), new AbortController()];
    const loop = "globalThis.seen = true; for (;;);";
    const limits = { cpuTime: 10_000 };
    const running = session.execute(loop, { timeout: 10_000, limits, signal: abortRunning.signal });
    const waiting = session.execute("globalThis.waited = true", { signal: abortWaiting.signal });
    setTimeout(() => {
      // The one that waits first: once nothing stands before it any more, it may run before its own cancellation arrives.
      abortWaiting.abort(new Error("enough waited"));
      abortRunning.abort(new Error("enough run"));
    }, 100);
    await expect(waiting).rejects.toThrow("enough waited");
    await expect(running).rejects.toThrow("enough run");
    expect(await session.execute("[typeof seen, typeof waited]")).toStrictEqual(["undefined", "undefined"]);
  });

  it("when it would take too much memory", async () => {
    const { defaultLimits } = await client.serverInfo();
    const code = `const a = []; for (;;) a.push(new Uint8Array(${Math.ceil(defaultLimits.memoryBytes / 8)}).fill(1))`;
    const error = await failureOf(session.execute(code));
    // QuickJS itself may notice first and throw; either way the session goes on.
    expect(error).toSatisfy((e) => e instanceof StoppedError || e instanceof GuestError);
    expect(await session.execute("1")).toBe(1);
  });
});

it("one whose turn has not come a second after its timeout is given up", async () => {
  const atomic = session.execute("await new Promise((resolve) => setTimeout(resolve, 2_000))", { atomic: true });
  const waiting = [{}, { onConsole: () => undefined }].map((options) =>
    failureOf(session.execute("1", { timeout: 100, ...options })),
  );
  const expected = { name: "StatusError", code: "DEADLINE_EXCEEDED" };
  expect(await Promise.all(waiting)).toMatchObject([expected, expected]);
  await atomic;
});

it("a queue that is full says when to come again", async () => {
  await using small = await client.createSession({ limits: { queuedExecutions: 1 } });
  const busy = Array.from({ length: 10 }, () =>
    small.execute("const end = Date.now() + 200; while (Date.now() < end);"),
  );
  const results = await Promise.allSettled(busy);
  const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  expect(refused.length).toBeGreaterThan(0);
  for (const error of refused) {
    expect(error).toBeInstanceOf(ResourceExhaustedError);
    expect(error).toMatchObject({ reason: "QUEUE_FULL", retryDelay: expect.any(Number) });
  }
});
