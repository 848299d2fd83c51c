import { GuestError, type Livescope, type Session } from "@livescope/sdk";
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

async function thrownBy(code: string, of: Session = session): Promise<GuestError> {
  const error = await of.execute(code).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  if (error instanceof GuestError) return error;
  throw new Error(`no GuestError of ${code}`, { cause: error });
}

describe("anything can be thrown", () => {
  it.each([
    ["undefined", "undefined"],
    ["null", "null"],
    ["0", "0"],
    ["NaN", "NaN"],
    ["false", "false"],
    ["'text'", "text"],
    ["5n", "5n"],
    ["Symbol('s')", "Symbol(s)"],
    ["{ a: [1] }", "{ a: [ 1 ] }"],
    ["Promise.resolve(1)", "Promise { 1 }"],
    ["Promise.reject(new Error('inner'))", "Promise { <rejected> [Error: inner] }"],
    ["Object.create(null)", "[Object: null prototype] {}"],
    ["function f() {}", "[Function: f]"],
    ["new Proxy({}, new Proxy({}, { get() { throw 1 } }))", "[Proxy]"],
    ["new Proxy(new Error('x'), { get() { throw 1 }, getPrototypeOf() { throw 2 } })", "[Proxy]"],
    ["globalThis", "Object [global] {"],
    ["{ name: 'X', message: 'm', stack: 's' }", "{ name: 'X', message: 'm', stack: 's' }"],
  ])("such as %s", async (expression, message) => {
    const error = await thrownBy(`throw (${expression})`);
    expect(error).toMatchObject({ guestName: "", phase: "EVALUATE", guestStack: "" });
    if (expression !== "globalThis") expect(error.message).toBe(message);
    const rejected = await thrownBy(`Promise.reject(${expression})`);
    expect(rejected).toMatchObject({ guestName: "", phase: "REJECTION", message: error.message });
  });

  it("and what is plain data comes along", async () => {
    for (const value of [null, 0, false, "text", { a: [1] }]) {
      expect((await thrownBy(`throw (${JSON.stringify(value)})`)).thrown).toEqual(value);
    }
  });

  it("also a text too long to be carried whole", async () => {
    const error = await thrownBy("throw 'x'.repeat(5e6)");
    expect(error.message).toBe("x".repeat(32_768));
    const long = await thrownBy(
      "throw Object.assign(new Error('m'.repeat(5e6)), { name: 'n'.repeat(5e6), stack: 's\\n'.repeat(5e6) })",
    );
    expect(long.message).toHaveLength(32_768);
    expect(long.guestName).toHaveLength(256);
    expect(long.guestStack.length).toBeLessThanOrEqual(16_384);
  });

  it("but no getter of it runs", async () => {
    await session.execute("var ran = []");
    const keys = "['name', 'message', 'stack', 'cause', 'errors', 'constructor', 'toString', Symbol.toStringTag]";
    const hostile = (target: string): string =>
      `throw (() => { const e = ${target}; for (const k of ${keys}) Object.defineProperty(e, k, { get() { ran.push(k) } }); return e })()`;
    expect(await thrownBy(hostile("new Error('x')"))).toMatchObject({ guestName: "", message: "", guestStack: "" });
    expect(await thrownBy(hostile("Object.create(Error.prototype)"))).toMatchObject({ message: "" });
    await thrownBy(hostile("class extends Error {}").replaceAll("throw (", "throw new (").replace("})()", "})())()"));
    await thrownBy(`Promise.reject(${hostile("{}").slice("throw ".length)})`);
    expect(await session.execute("ran")).toEqual([]);
  });
});

describe("an error tells", () => {
  it.each([
    ["new TypeError('no')", "TypeError"],
    ["new (class MyError extends Error {})('no')", "MyError"],
    ["new (class Deep extends (class Base extends RangeError {}) {})('no')", "Deep"],
    ["new (class Named extends Error { constructor(m) { super(m); this.name = 'Mine' } })('no')", "Mine"],
    ["new (class Named extends Error { name = 'Mine' })('no')", "Mine"],
    ["new (class Named extends Error { static { this.prototype.name = 'Shared' } })('no')", "Shared"],
    ["new (class extends Error {})('no')", "Error"],
    ["Object.setPrototypeOf(new Error('no'), null)", ""],
    ["Object.assign(new Error('no'), { name: 5 })", ""],
    ["new AggregateError([], 'no')", "AggregateError"],
  ])("its name: %s", async (expression, guestName) => {
    expect(await thrownBy(`throw ${expression}`)).toMatchObject({ guestName, message: "no" });
  });

  it("where it was thrown, innermost first", async () => {
    const code = "function bad() {\n  throw new TypeError('no')\n}\nfunction mid() { bad() }\nmid()";
    const { frames } = await thrownBy(code);
    expect(frames).toMatchObject([
      { functionName: "bad", filename: "script.js", line: 2 },
      { functionName: "mid", filename: "script.js", line: 4 },
      { functionName: "", filename: "script.js", line: 5 },
    ]);
  });

  it("its causes, of any kind, and ends where they come back to themselves", async () => {
    const error = await thrownBy("throw new Error('a', { cause: new RangeError('b', { cause: { code: 7 } }) })");
    expect(error.cause).toMatchObject({ guestName: "RangeError", message: "b", phase: undefined });
    expect(error.cause?.cause).toMatchObject({ guestName: "", message: "{ code: 7 }", thrown: { code: 7 } });
    const cyclic = await thrownBy("const a = new Error('a'), b = new Error('b', { cause: a }); a.cause = b; throw a");
    expect(cyclic.cause?.message).toBe("b");
    expect(cyclic.cause?.cause).toBeUndefined();
  });

  it("at most 8 causes", async () => {
    let error: GuestError | undefined = await thrownBy(
      "let e; for (let i = 0; i < 1000; i++) e = new Error('' + i, { cause: e }); throw e",
    );
    const messages: string[] = [];
    for (; error !== undefined; error = error.cause) messages.push(error.message);
    expect(messages).toEqual(Array.from({ length: 9 }, (_, i) => `${999 - i}`));
  });

  it("the errors of an AggregateError, the first 16 of many", async () => {
    const error = await thrownBy("throw new AggregateError([new TypeError('a'), 1, 'text'], 'all')");
    expect(error.errors.map(({ guestName, message }) => [guestName, message])).toEqual([
      ["TypeError", "a"],
      ["", "1"],
      ["", "text"],
    ]);
    expect((await thrownBy("throw new AggregateError(new Array(2e5).fill(0), 'many')")).errors).toHaveLength(16);
    expect((await thrownBy("await Promise.any([Promise.reject(new Error('one'))])")).errors[0]?.message).toBe("one");
    const nested = "let e = 0; for (let i = 0; i < 20; i++) e = new AggregateError(new Array(20).fill(e)); throw e";
    expect((await thrownBy(nested)).errors.length).toBeGreaterThan(0);
  });

  it.each([
    ["let = ;", "PARSE"],
    ["throw 1", "EVALUATE"],
    ["await Promise.reject(1)", "EVALUATE"],
    ["Promise.reject(1)", "REJECTION"],
    ["new Promise(() => {})", "DEADLOCK"],
  ])("the phase it came in: %s", async (code, phase) => {
    expect((await thrownBy(code)).phase).toBe(phase);
  });
});

describe("a rejection that nobody handles", () => {
  it("is a warning of the execution, with its place", async () => {
    const code = "function lose() { return Promise.reject(new TypeError('lost')) }\nlose();\n1";
    const { value, warnings } = await session.execute(code, { filename: "a.js" }).execution();
    expect(value).toBe(1);
    expect(warnings).toMatchObject([
      { message: "unhandled rejection: TypeError: lost", frame: { functionName: "lose", filename: "a.js", line: 1 } },
    ]);
  });

  it("is a warning of one that fails, too", async () => {
    const error = await thrownBy("Promise.reject(5); throw new Error('other')");
    expect(error).toMatchObject({ message: "other", warnings: [{ message: "unhandled rejection: 5" }] });
  });

  it("is none where it is handled before the turn ends", async () => {
    const code = "const p = Promise.reject(1); await null; try { await p } catch {}; 2";
    expect(await session.execute(code).execution()).toMatchObject({ value: 2, warnings: [] });
  });

  it("of an execution that has ended is a warning of those in flight, and names it", async () => {
    const ended = session.execute("setTimeout(() => Promise.reject(new Error('late')), 1); 1");
    const { executionId } = await ended.execution();
    const wait = "await new Promise((done) => setTimeout(done, 20)); 2";
    const both = await Promise.all([session.execute(wait).execution(), session.execute(wait).execution()]);
    const told = both.map(({ warnings }) => warnings.map(({ message }) => message));
    expect(told.flat()).toContain(`unhandled rejection in execution ${executionId}, which has ended: Error: late`);
    expect((await session.execute("3").execution()).warnings).toEqual([]);
  });

  it("is told of what a later turn of the execution rejected", async () => {
    const code = "setTimeout(() => Promise.reject(5), 1); await new Promise((done) => setTimeout(done, 5)); 1";
    expect((await session.execute(code).execution()).warnings).toMatchObject([{ message: "unhandled rejection: 5" }]);
  });

  it("is told of many with their number", async () => {
    const { warnings } = await session.execute("for (let i = 0; i < 100; i++) Promise.reject(i); 0").execution();
    expect(warnings).toHaveLength(21);
    expect(warnings.at(-1)?.message).toBe("80 more promises were rejected and nobody handled it");
  });
});
