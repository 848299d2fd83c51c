/** What the SDK promises about functions that a client lends to a session. */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  AlreadyExistsError,
  DisposedError,
  GuestError,
  Handle,
  type HostCallContext,
  hostCall,
  InvalidRequestError,
  LivescopeError,
  type Session,
} from "@livescope/sdk";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { connect, withServer } from "../support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession({
    setup: "const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));",
  });
});
afterEach(() => session.delete());

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describe("an exposed function", () => {
  test("is called by guest code, and may call the session back meanwhile", async () => {
    await session.execute("let calls = 0; function count() { return ++calls }");
    await session.expose({
      add: async (a: number, b: number) => {
        await session.call("count");
        return a + b;
      },
    });
    expect(await session.execute("await add(2, 3)")).toBe(5);
    expect(await session.execute("calls")).toBe(1);
    expect(await session.execute("typeof add + add.name")).toBe("functionadd");
  });

  test("calls back also into an atomic execution, which is undone whole", async () => {
    await session.execute("let n = 0; function up() { return ++n }");
    await session.expose({ callUp: async () => session.call("up") });
    const failing = session.execute("await callUp(); await callUp(); throw new Error('at ' + n)", { atomic: true });
    await expect(failing).rejects.toThrow("at 2");
    expect(await session.execute("n")).toBe(0);
    expect(await session.execute("await callUp()", { atomic: true })).toBe(1);
    await session.expose({ nested: () => session.execute("1", { atomic: true }) });
    await expect(session.execute("await nested()")).rejects.toThrow("on behalf of another execution");
  });

  test("is told that nobody waits when what it was called by had ended within an atomic execution that is undone", async () => {
    let hanging: AbortSignal | undefined;
    await session.expose({
      hang: ({ signal }: HostCallContext) => new Promise(() => (hanging = signal)),
      callBack: () => session.execute("void hang(); 1"),
    });
    await expect(session.execute("await callBack(); throw new Error('undo it')", { atomic: true })).rejects.toThrow(
      "undo it",
    );
    await expect.poll(() => hanging?.aborted).toBe(true);
    // What stands is waited for.
    await session.execute("await callBack()", { atomic: true });
    await session.execute("1");
    expect(hanging?.aborted).toBe(false);
  });

  test("gets what was passed and a context after it", async () => {
    const given: unknown[][] = [];
    await session.expose({
      three: (...args: unknown[]) => void given.push(args),
      declared: (...[a, b, context]: [unknown, unknown, HostCallContext]) => void given.push([a, b, context]),
      padded: (a: unknown, b: unknown, context: HostCallContext) => void given.push([a, b, context]),
    });
    await session.execute("await three(1, 2, 3); await padded(1)");
    expect(given[0]?.slice(0, 3)).toEqual([1, 2, 3]);
    expect(given[0]?.[3]).toMatchObject({ session, locals: {}, signal: { aborted: false } });
    expect(given[1]).toEqual([1, undefined, expect.objectContaining({ session })]);
  });

  test("can ask for its context at any depth, which no argument of the guest can stand for", async () => {
    await session.expose({
      who: async (_id: number, context: HostCallContext) => {
        await sleep(1);
        return hostCall().callId !== context.callId && hostCall().callId.length > 0;
      },
    });
    expect(await session.execute("await who(1, { callId: 'forged' })")).toBe(true);
    expect(() => hostCall()).toThrow(LivescopeError);
  });

  test("can ask for it, and call back, where it listens to a console", async () => {
    const heard: unknown[] = [];
    const listen = async (): Promise<void> => {
      const called: Promise<unknown>[] = [];
      const onConsole = (): void => {
        heard.push(hostCall().locals.user);
        called.push(session.execute("'within'"));
      };
      await session.execute("console.log(1)", { onConsole });
      heard.push(...(await Promise.all(called)));
    };
    await session.expose({ listen });
    // It holds the session: what were not on its behalf would wait for it.
    await session.execute("await listen()", { locals: { user: "ann" }, atomic: true });
    expect(heard).toEqual(["ann", "within"]);
  });

  test("runs in the context of who exposed or passed it, and not of who opened the stream", async () => {
    const tenant = new AsyncLocalStorage<string>();
    const who = () => tenant.getStore() ?? "nobody";
    const bindings = { who };
    await using client = await connect(served.server.address);
    await using own = await client.createSession();
    await tenant.run("first", () => own.execute("1", { bindings }));
    await tenant.run("second", () => own.expose({ whoExposed: who }));
    expect(await own.execute("await whoExposed()")).toBe("second");
    expect(await own.execute("await who()", { bindings })).toBe("nobody");
    expect(await tenant.run("third", () => own.execute("await who()", { bindings }))).toBe("third");
    expect(await tenant.run("fourth", () => own.atomic(who))).toBe("fourth");
  });

  test("hears in its own context that nobody waits for it any more", async () => {
    const tenant = new AsyncLocalStorage<string>();
    const heard: unknown[] = [];
    const hang = ({ signal }: HostCallContext): Promise<never> => {
      signal.addEventListener("abort", () => heard.push(tenant.getStore(), hostCall().signal === signal));
      return new Promise(() => undefined);
    };
    await using client = await connect(served.server.address);
    await using own = await client.createSession();
    await tenant.run("first", () => own.execute("1", { bindings: { hang } }));
    await tenant.run("second", () => own.expose({ hang }));
    await tenant.run("third", () => own.expose({ late: hang }, { timeout: 10 }));
    await expect(own.execute("await late()")).rejects.toThrow("did not answer");
    await expect(own.execute("await hang()", { timeout: 100 })).rejects.toThrow("time limit");
    await expect.poll(() => heard).toEqual(["third", true, "second", true]);
  });

  test("takes and gives values of every kind", async () => {
    const values = {
      undefined: undefined,
      nan: Number.NaN,
      minus: -0,
      big: 12n ** 30n,
      date: new Date(5),
      map: new Map<unknown, unknown>([[{ a: 1 }, new Set([1])]]),
      bytes: new Uint8Array([1, 2]),
      floats: new Float64Array([1.5]),
      error: new RangeError("far", { cause: "why" }),
      text: "\ud800 \0",
      sparse: Object.assign(new Array(3), { 0: 1 }),
    };
    const cycle: Record<string, unknown> = { values };
    cycle.self = cycle;
    const seen: unknown[] = [];
    await session.expose({
      same: (value: unknown) => {
        seen.push(value);
        return value;
      },
    });
    const back = await session.execute<typeof cycle>("await same(cycle)", { bindings: { cycle } });
    expect(seen[0]).toEqual(cycle);
    expect(back).toEqual(cycle);
    expect(back.self).toBe(back);
    for (const value of [undefined, 1, "x", null, new Uint8Array([3])]) {
      expect(await session.execute("await same(value)", { bindings: { value } })).toEqual(value);
    }
    expect(seen.slice(1)).toEqual([undefined, 1, "x", null, new Uint8Array([3])]);
  });

  test("gives bytes as they are when it returns them", async () => {
    const bytes = new Uint8Array([1, 2]);
    await session.expose({
      give: async () => {
        // After what takes the result, and before it is written.
        queueMicrotask(() => process.nextTick(() => bytes.fill(9)));
        return bytes;
      },
    });
    expect(await session.execute("[...await give()]")).toEqual([1, 2]);
  });

  test("gets handles that live as long as the call, unless it keeps them", async () => {
    let kept: Handle | undefined;
    let lent: Handle | undefined;
    await session.expose({
      twice: async (fn: Handle, { list }: { list: Handle }, { keep }: HostCallContext) => {
        lent = fn;
        kept = await keep(fn);
        expect(await list.call([])).toBe("in it");
        return [await fn.call([1]), fn];
      },
    });
    const code =
      "const fn = (x) => x + 1; const [a, same] = await twice(fn, { list: () => 'in it' }); [a, same === fn]";
    expect(await session.execute(code)).toEqual([2, true]);
    expect(lent?.released).toBe(true);
    await expect(lent?.call([1]) ?? Promise.resolve()).rejects.toThrow(LivescopeError);
    expect(await kept?.call([41])).toBe(42);
    await kept?.release();
    expect((await session.info()).handleCount).toBe(0);
  });

  test("sees the locals of the execution that calls, where it calls", async () => {
    await session.expose({
      who: (context: HostCallContext) => context.locals.user,
      all: ({ locals }: HostCallContext) => locals,
    });
    await session.execute(`async function twice() {
      const before = locals.user;
      return [before, await who(), locals.user, await locals.with({ user: before + '!' }, who), await who()];
    }`);
    const of = (user: string) => session.call("twice", [], { locals: { user } });
    expect(await Promise.all([of("a"), of("b")])).toEqual([
      ["a", "a", "a", "a!", "a"],
      ["b", "b", "b", "b!", "b"],
    ]);
    expect(await session.execute("await all()")).toEqual({});
    const locals = { when: new Date(1), list: [undefined] };
    expect(await session.execute("await all()", { locals })).toEqual(locals);
    expect(await session.execute("await all()", { locals: { fn: () => 1 } })).toMatchObject({
      fn: { type: "function" },
    });
  });

  test("is called by templates", async () => {
    await session.expose({ greet: (name: string) => `hello <${name}>` });
    expect(await session.render("{{ await greet(who) }}", { who: "you" })).toBe("hello &lt;you&gt;");
    expect(await session.render("{{ await up(1) }}", { up: (n: number) => n + 1 })).toBe("2");
  });

  test("throws errors of a class of its own, by the name that they have or that of the class", async () => {
    class NoSuchUser extends Error {}
    class Renamed extends Error {
      override name = "Known";
    }
    const errors = [new NoSuchUser("a"), new Renamed("b"), new Error("c"), new (class extends RangeError {})("d")];
    await session.expose({
      fail: (index: number) => {
        throw errors[index];
      },
    });
    const code = "await Promise.all([0, 1, 2, 3].map((i) => fail(i).catch((e) => e.name)))";
    expect(await session.execute(code)).toEqual(["NoSuchUser", "Known", "Error", "RangeError"]);
  });

  test("throws errors that the guest catches, with name, message and cause", async () => {
    class NoUser extends Error {
      override name = "NoUser";
    }
    await session.expose({
      fail: () => {
        throw new NoUser("nobody", { cause: new TypeError("inner", { cause: { code: 7 } }) });
      },
      odd: () => Promise.reject({ code: 1 }),
      unsendable: () => Symbol("x"),
    });
    const code = `const e = await fail().catch((e) => e);
      [e instanceof Error, e.name, e.message, e.cause instanceof TypeError, e.cause.message, e.cause.cause.code]`;
    expect(await session.execute(code)).toEqual([true, "NoUser", "nobody", true, "inner", 7]);
    expect(await session.execute("await odd().catch((e) => e)")).toEqual({ code: 1 });
    expect(await session.execute("await unsendable().catch((e) => e.name)")).toBe("TypeError");
    const uncaught = session.execute("await fail()");
    await expect(uncaught).rejects.toMatchObject({ guestName: "NoUser", cause: { guestName: "TypeError" } });
  });

  test("throws or returns what throws when it is looked at, and is answered", async () => {
    const trap = (): never => {
      throw odd;
    };
    const odd: object = new Proxy({}, { getPrototypeOf: trap, ownKeys: trap });
    await session.expose({
      fail: trap,
      failAsync: () => Promise.reject(odd),
      failWithCause: () => Promise.reject(new TypeError("outer", { cause: odd })),
      give: () => [odd],
    });
    const message = "a object was thrown, which cannot be copied";
    const code = "await Promise.all([fail, failAsync, give].map((fn) => fn().catch((e) => e.message)))";
    expect(await session.execute(code)).toEqual([message, message, message]);
    expect(await session.execute("await failWithCause().catch((e) => [e.message, e.cause.message])")).toEqual([
      "outer",
      message,
    ]);
  });

  test("throws errors that say where the guest called it, and nothing of what is between", async () => {
    await session.expose({
      look: () => {
        throw new RangeError("no rate");
      },
    });
    const code = "async function rule() {\n  return [await look('x')]\n}\nawait rule()";
    const error = (await session.execute(code, { filename: "rules.js" }).catch((thrown) => thrown)) as GuestError;
    expect(error.frames).toMatchObject([
      { functionName: "rule", filename: "rules.js", line: 2 },
      { functionName: "", filename: "rules.js", line: 4 },
    ]);
    expect(await session.execute("await look().catch((e) => e.stack)")).toMatch(/^ {4}at <eval> [^\n]*\n$/);
    // One that was called by a timer's function, which nobody called.
    const timed = "await new Promise((done) => setTimeout(async () => done(await look().catch((e) => e.stack)), 1))";
    expect(await session.execute(timed)).not.toContain("native");
    // From however deep: long stacks are cut down when the call is made, short ones when it fails.
    await session.execute("function deep(n) { return n === 0 ? look() : deep(n - 1) }");
    for (const depth of [1, 5, 100]) {
      const stack = (await session.execute(`await deep(${depth}).catch((e) => e.stack)`)) as string;
      expect(stack.match(/^ {4}at deep [^\n]*$/gm)).toHaveLength(depth + 1);
      expect(stack.split("\n")).toHaveLength(depth + 3);
    }
  });

  test("gives back the guest's own error when a callback of it throws", async () => {
    await session.expose({ run: (fn: Handle) => fn.call([]) });
    const code = "await run(() => { throw new RangeError('mine', { cause: 1 }) }).catch((e) => [e.name, e.message])";
    expect(await session.execute(code)).toEqual(["RangeError", "mine"]);
    const thrown: unknown = await session.execute("await run(() => { throw { a: 1 } }).catch((e) => e)");
    expect(thrown).toEqual({ a: 1 });
    // Without a name it is an error all the same, and what is none and is not told whole is not undefined.
    const nameless = `const tell = async (thrown) => run(() => { throw thrown }).catch((e) => [e?.message, e?.cause?.message]);
      const mine = Object.assign(new Error("mine", { cause: new Error("inner") }), { name: "" });
      await Promise.all([mine, new Error("outer", { cause: mine }), new Error("of", { cause: tell }), undefined].map(tell))`;
    expect(await session.execute(nameless)).toEqual([
      ["mine", "inner"],
      ["outer", "mine"],
      ["of", "[AsyncFunction: tell]"],
      [undefined, undefined],
    ]);
  });

  test("runs as often at once as it is called", async () => {
    let running = 0;
    let most = 0;
    await session.expose({
      slow: async (n: number) => {
        most = Math.max(most, ++running);
        await sleep(20);
        running--;
        return n * n;
      },
    });
    expect(await session.execute("await Promise.all([1, 2, 3, 4].map((n) => slow(n)))")).toEqual([1, 4, 9, 16]);
    expect(most).toBe(4);
  });

  test("is told by its signal that nobody waits any more", async () => {
    const reasons: string[] = [];
    const called = vi.fn();
    await session.expose({
      hang: async ({ signal }: HostCallContext) => {
        called();
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        reasons.push((signal.reason as Error).name);
      },
    });
    await expect(session.execute("await hang()", { timeout: 200 })).rejects.toMatchObject({ reason: "TIMEOUT" });
    await expect.poll(() => reasons).toEqual(["AbortError"]);
    const aborting = new AbortController();
    const aborted = session.execute("await hang()", { signal: aborting.signal });
    await expect.poll(() => called.mock.calls.length).toBe(2);
    aborting.abort();
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    await expect.poll(() => reasons.length).toBe(2);
    expect(await session.execute("1")).toBe(1);
  });

  test("is answered when it outlives the execution that called it", async () => {
    let wasAborted: boolean | undefined;
    await session.expose({
      slow: async ({ signal }: HostCallContext) => {
        // Longer than the time that the execution had, with what is added to it.
        await sleep(2_500);
        wasAborted = signal.aborted;
        return "done";
      },
    });
    await session.execute("globalThis.later = slow(); 0", { timeout: 1_000 });
    expect(await session.execute("await later")).toBe("done");
    expect(wasAborted).toBe(false);
  });

  test("is told by its signal, too, when it asks for that afterwards", async () => {
    const reasons: unknown[] = [];
    let cancelled = (): void => undefined;
    const isCancelled = new Promise<void>((resolve) => (cancelled = resolve));
    const watched = vi.fn();
    await session.expose({
      late: async (context: HostCallContext) => {
        await isCancelled;
        const { signal } = context;
        reasons.push(signal.aborted, (signal.reason as Error).name, context.signal === signal);
      },
      // It is called after the other, and so hears after it.
      watch: async ({ signal }: HostCallContext) => {
        signal.addEventListener("abort", cancelled);
        watched();
        await isCancelled;
      },
    });
    const aborting = new AbortController();
    const aborted = session.execute("await Promise.all([late(), watch()])", { signal: aborting.signal });
    await expect.poll(() => watched.mock.calls.length).toBe(1);
    aborting.abort();
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    await expect.poll(() => reasons).toEqual([true, "AbortError", true]);
  });

  test("has a time limit of its own", async () => {
    let reason: unknown;
    await session.expose(
      {
        slow: async ({ signal }: HostCallContext) => {
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
          reason = signal.reason;
        },
      },
      { timeout: 50 },
    );
    const code = "await slow().catch((e) => [e.name, e.message])";
    expect(await session.execute(code)).toEqual(["TimeoutError", "slow did not answer within 50 ms"]);
    await expect.poll(() => (reason as Error)?.name).toBe("TimeoutError");
  });

  test("is accounted for apart from the guest's own time", async () => {
    await session.expose({ slow: () => sleep(100) });
    const { usage } = await session.execute("await Promise.all([slow(), slow()])").execution();
    expect(usage.hostCalls).toBe(2);
    expect(usage.hostTime).toBeGreaterThan(80);
    expect(usage.hostTime).toBeLessThanOrEqual(usage.wallTime);
    expect(usage.cpuTime).toBeLessThan(usage.hostTime);
    expect((await session.info()).usage).toMatchObject({ hostCalls: 2, hostTime: usage.hostTime });
  });

  test("may go deeper by calling back, but not without end", async () => {
    let deepest = 0;
    await session.expose({
      deeper: async (n: number) => {
        deepest = Math.max(deepest, n);
        return session.execute(`await deeper(${n + 1})`);
      },
    });
    await expect(session.execute("await deeper(1)")).rejects.toThrow("levels deep");
    expect(deepest).toBe(17);
    expect(await session.execute("1")).toBe(1);
  });

  test("can be called from what another client runs, and answers it alone", async () => {
    await session.expose({ id: (value: unknown) => value });
    const other = await connect(served.server.address);
    const attached = other.attach(session.id);
    expect(await attached.execute("await id(7)")).toBe(7);
    expect(await attached.execute("await id(() => 1).catch(String)")).toBeInstanceOf(Handle);
    other.close();
  });
});

describe("exposing", () => {
  test("is refused for a name that another client provides, unless it takes over", async () => {
    await session.expose({ mine: () => 1 });
    const other = await connect(served.server.address);
    const attached = other.attach(session.id);
    const refused = attached.expose({ mine: () => 2 });
    await expect(refused).rejects.toThrow(AlreadyExistsError);
    await expect(refused).rejects.toMatchObject({ reason: "HOST_FUNCTION_TAKEN" });
    expect(await session.execute("await mine()")).toBe(1);
    await attached.expose({ mine: () => 2 }, { takeOver: true });
    expect(await session.execute("await mine()")).toBe(2);
    other.close();
  });

  test("is refused for what is no name or no function", async () => {
    await expect(session.expose({ "not a name": () => 1 })).rejects.toThrow(InvalidRequestError);
    await expect(session.expose({ f: 1 as never })).rejects.toThrow(TypeError);
    await expect(session.expose({ f: () => 1 }, { timeout: -1 })).rejects.toThrow(RangeError);
    await expect(session.expose({ f: () => 1 }, { reconnectWindow: 1e9 })).rejects.toThrow(InvalidRequestError);
    await expect(served.client.attach("nobody").expose({ f: () => 1 })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("ends by release, after which calls are rejected and others may have the name", async () => {
    const exposure = await session.expose({ f: () => 1 }, { reconnectWindow: 0 });
    expect(exposure.names).toEqual(["f"]);
    await exposure.release();
    expect(await exposure.ended).toBeUndefined();
    await expect(session.execute("await f()")).rejects.toThrow("no more");
    const second = await session.expose({ f: () => 2 });
    expect(await session.execute("await f()")).toBe(2);
    await second.release();
  });

  test("ends with the session, which may be deleted and made anew by another client", async () => {
    await using other = await connect(served.server.address);
    const exposure = await session.expose({ f: () => 1 });
    const another = await session.expose({ g: () => 2 });
    await other.attach(session.id).delete();
    const ends = await Promise.all([exposure.ended, another.ended]);
    expect(ends).toMatchObject([{ reason: "SESSION_DELETED" }, { reason: "SESSION_DELETED" }]);
    await using anew = await other.createSession({ sessionId: session.id });
    expect(await anew.execute("typeof f")).toBe("undefined");
    // It finds this client like one that was never there before.
    await session.expose({ f: () => 3 });
    expect(await anew.execute("await f()")).toBe(3);
  });

  test("ends when another client takes one of its names over, and no other does", async () => {
    await using other = await connect(served.server.address);
    const [both, another] = await Promise.all([
      session.expose({ f: () => 1, g: () => 2 }),
      session.expose({ h: () => 3 }),
    ]);
    await other.attach(session.id).expose({ g: () => "taken" }, { takeOver: true });
    const taken = await both.ended;
    expect(taken).toBeInstanceOf(AlreadyExistsError);
    expect(taken).toMatchObject({ reason: "HOST_FUNCTION_TAKEN", metadata: { session_id: session.id, name: "g" } });
    expect(await Promise.race([another.ended, session.execute("[await g(), await h()]")])).toEqual(["taken", 3]);
    await expect(session.execute("await f()")).rejects.toThrow("no more");
    // What this client takes back is its again.
    const back = await session.expose({ g: () => "back" }, { takeOver: true });
    expect(await Promise.race([back.ended, session.execute("await g()")])).toBe("back");
  });

  test("ends with the session object", async () => {
    const exposure = await session.expose({ f: () => 1 });
    await session.delete();
    expect(await exposure.ended).toBeUndefined();
    await expect(session.expose({ f: () => 1 })).rejects.toThrow(LivescopeError);
  });

  test("that is given up while its session is busy leaves its names to others", async () => {
    const other = await connect(served.server.address);
    const session = await served.client.createSession();
    const mine = other.attach(session.id);
    const busy = session.execute("for (const end = Date.now() + 300; Date.now() < end; );");
    const exposing = mine.expose({ f: () => "not mine" });
    exposing.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await mine[Symbol.asyncDispose]();
    await expect(exposing).rejects.toBeInstanceOf(DisposedError);
    await busy;
    // Whoever had it would be waited for half a minute.
    const exposed = () => session.expose({ f: () => "mine" }).then(() => "exposed", String);
    await expect.poll(exposed, { timeout: 10_000, interval: 200 }).toBe("exposed");
    expect(await session.execute("f()")).toBe("mine");
    await other.close();
  });

  test("ends with the client, and its names go with it", async () => {
    const other = await connect(served.server.address);
    const exposure = await other.attach(session.id).expose({ f: () => 1, wait: () => new Promise(() => {}) });
    const waiting = session.execute("await wait().catch((e) => e.message)");
    await session.execute("await f()");
    other.close();
    expect(await exposure.ended).toBeUndefined();
    // Whoever may come back would be waited for half a minute.
    expect(await waiting).toContain("gone");
    await expect.poll(() => session.execute("await f().catch((e) => e.message)")).toContain("no client provides");
    await (await session.expose({ f: () => 2 })).release();
  });
});

describe("a function passed as an argument or a binding", () => {
  test("is called as often as the guest likes", async () => {
    await session.execute(
      "async function map(list, fn) { const all = []; for (const x of list) all.push(await fn(x)); return all }",
    );
    expect(await session.call("map", [[1, 2, 3], (x: number) => x * 2])).toEqual([2, 4, 6]);
    expect(await session.execute("await double(4)", { bindings: { double: (x: number) => x * 2 } })).toBe(8);
  });

  test("is one function within a command, and lives as long as the guest holds it", async () => {
    await session.execute("let kept; function keep(a, b) { kept = a; return a === b }");
    let count = 0;
    const fn = (): number => ++count;
    expect(await session.call("keep", [fn, fn])).toBe(true);
    expect(await session.execute("await kept(); await kept()")).toBe(2);
  });

  test.each([
    ["NUL in it", "a\0b"],
    ["a number", 7],
    ["longer than any", "x".repeat(2_000)],
  ])("may be called what it likes: %s", async (_, name) => {
    const odd = Object.defineProperty(() => 1, "name", { value: name });
    expect(await session.execute("await fn()", { bindings: { fn: odd } })).toBe(1);
  });

  test("lives on when the call that passed it is aborted", async () => {
    await session.execute("let kept");
    const aborting = new AbortController();
    const { signal } = aborting;
    const aborted = session.execute("kept = f; await sleep(60_000)", { bindings: { f: () => 1 }, signal });
    await expect.poll(() => session.execute("typeof kept")).toBe("function");
    aborting.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    expect(await session.execute("await kept()")).toBe(1);
  });

  test("is rejected once its session object is disposed", async () => {
    await session.execute("let kept; function keep(fn) { kept = fn }");
    {
      await using attached = served.client.attach(session.id);
      await attached.call("keep", [() => 1]);
      expect(await session.execute("await kept()")).toBe(1);
    }
    await expect.poll(() => session.execute("await kept().catch((e) => e.message)")).toContain("no client provides");
  });

  test("is refused where none can live: within other values, and without a session", async () => {
    await expect(session.call("String", [{ fn: () => 1 }])).rejects.toThrow(TypeError);
    await expect(served.client.execute("f", { bindings: { f: () => 1 } })).rejects.toThrow(TypeError);
  });

  test("fails as the guest's error where the command is refused or throws", async () => {
    await expect(session.call("nothing", [() => 1])).rejects.toThrow(GuestError);
    await expect(served.client.attach("nobody").call("f", [() => 1])).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});
