/** S20: every kind of value goes in and comes out as it was, with the same sharing. */
import type { Session } from "@livescope/sdk";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { expectSame } from "./support/same-value.js";
import { withServer } from "./support/server.js";

/** Calls with large bytes, of each of some sessions; a multiple of 4. The long run is that of .ci/run. */
const LARGE = isLong ? 12 : 4;
const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession({ setup: "function identity(value) { return value }" });
});
afterEach(() => session[Symbol.asyncDispose]());

/** TypeScript knows it only for newer targets. */
const FLAG_V = "v";

/** The same value as guest code and here. */
const VALUES: readonly [name: string, code: string, value: unknown][] = [
  ["undefined", "undefined", undefined],
  ["null", "null", null],
  ["true", "true", true],
  ["false", "false", false],
  ["zero", "0", 0],
  ["-0", "-0", -0],
  ["NaN", "NaN", Number.NaN],
  ["Infinity", "Infinity", Infinity],
  ["-Infinity", "-Infinity", -Infinity],
  ["2 ** 53 + 1, as near as a number is", "2 ** 53 + 1", 2 ** 53 + 1],
  ["the smallest number", "5e-324", 5e-324],
  ["a sum of tenths", "0.1 + 0.2", 0.1 + 0.2],
  ["a BigInt", "-1n", -1n],
  ["a BigInt of 1,000 digits", "BigInt('9'.repeat(1000))", BigInt("9".repeat(1000))],
  ["the empty string", "''", ""],
  ["a string with NUL", "'a\\0b'", "a\0b"],
  ["a string with a byte order mark", "'\\ufeffx'", "\ufeffx"],
  ["lone surrogates", "'\\ud800x\\udfff'", "\ud800x\udfff"],
  ["astral characters", "'\\u{1f600}é\\u2028'", "\u{1f600}é\u2028"],
  ["a Date", "new Date(86400000.5)", new Date(86_400_000.5)],
  ["the last Date", "new Date(8.64e15)", new Date(8.64e15)],
  ["a Date before the year 0", "new Date(-62198755200000)", new Date(-62_198_755_200_000)],
  ["an invalid Date", "new Date(NaN)", new Date(Number.NaN)],
  ["a RegExp with all flags", "/a\\/[\"']\\n/dgimsuy", /a\/["']\n/dgimsuy],
  ["a RegExp with flag v", "new RegExp('[a--b]', 'v')", new RegExp("[a--b]", FLAG_V)],
  [
    "a Map",
    "new Map([['a', 1], [NaN, undefined], [-0, 2]])",
    new Map<unknown, unknown>([
      ["a", 1],
      [Number.NaN, undefined],
      [-0, 2],
    ]),
  ],
  [
    "a Map with objects as keys",
    "new Map([[{ k: [] }, new Map([[new Set(), 1]])]])",
    new Map([[{ k: [] }, new Map([[new Set(), 1]])]]),
  ],
  ["a Set with objects", "new Set([{ a: 1 }, [2], 'x', 3n])", new Set([{ a: 1 }, [2], "x", 3n])],
  ["an array with holes", "[, 1, , 'x', ,]", Object.assign(new Array(5), { 1: 1, 3: "x" })],
  ["a sparse array", "Object.assign([], { 4294967294: 'last' })", Object.assign([], { 4294967294: "last" })],
  [
    "an array with properties",
    "Object.assign([1, 2], { x: [3], '-1': 4 })",
    Object.assign([1, 2], { x: [3], "-1": 4 }),
  ],
  ["a match", "'abcabc'.match(/(?<b>b)c/)", "abcabc".match(/(?<b>b)c/)],
  ["undefined inside", "({ a: undefined, b: [undefined, null] })", { a: undefined, b: [undefined, null] }],
  [
    "no prototype",
    "Object.assign(Object.create(null), { a: { b: 1 } })",
    Object.assign(Object.create(null), { a: { b: 1 } }),
  ],
  ["an own __proto__", 'JSON.parse(\'{"__proto__":{"a":1},"b":2}\')', JSON.parse('{"__proto__":{"a":1},"b":2}')],
  [
    "an own __proto__ without prototype",
    "Object.fromEntries([['__proto__', [undefined]]])",
    Object.fromEntries([["__proto__", [undefined]]]),
  ],
  [
    "keys that are no names",
    "({ '': 1, '\\ud800': 2, '1': 3, 'a\\0b': 4, u: -0 })",
    { "": 1, "\ud800": 2, "1": 3, "a\0b": 4, u: -0 },
  ],
  [
    "boxed primitives",
    "[Object(1), Object('x'), Object(false), Object(2n)]",
    [Object(1), Object("x"), Object(false), Object(2n)],
  ],
  ["bytes", "new Uint8Array([0, 1, 255])", new Uint8Array([0, 1, 255])],
  ["no bytes", "new Uint8Array(0)", new Uint8Array(0)],
  ["an ArrayBuffer", "new Uint8Array([1, 2, 3]).buffer", new Uint8Array([1, 2, 3]).buffer],
  [
    "a DataView",
    "new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 1)",
    new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 1),
  ],
  ["deep nesting", "let deep = []; for (let i = 0; i < 5000; i++) deep = [deep]; deep", nested(5_000)],
];

const TYPED_ARRAYS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
];

function nested(levels: number): unknown {
  let deep: unknown = [];
  for (let i = 0; i < levels; i++) deep = [deep];
  return deep;
}

describe("a value", () => {
  // What is nested deeper than the assertions can follow is measured.
  const comparable = (value: unknown): unknown => {
    let levels = 0;
    let inner = value;
    for (; Array.isArray(inner) && inner.length === 1 && Array.isArray(inner[0]); levels++) inner = inner[0];
    return levels > 500 ? [levels, inner] : value;
  };

  test.each(VALUES)("comes out as it is: %s", async (_, code, value) => {
    expectSame(comparable(await session.execute(code)), comparable(value));
  });

  test.each(VALUES)("goes in and comes out as it was: %s", async (_, _code, value) => {
    expectSame(comparable(await session.call("identity", [value])), comparable(value));
    expectSame(comparable(await session.execute("bound", { bindings: { bound: value } })), comparable(value));
  });

  test.each(TYPED_ARRAYS.map((Class) => [Class.name, Class] as const))(
    "keeps the class, the offset and the buffer of a view: %s",
    async (name, Class) => {
      const buffer = Uint8Array.from({ length: 64 }, (_, i) => i * 3).buffer;
      const value = { whole: new Class(buffer), part: new Class(buffer, 8, 2), none: new Class(buffer, 16, 0), buffer };
      const copy = await session.call<typeof value>("identity", [value]);
      expectSame(copy, value);
      expect(copy.part).toMatchObject({ byteOffset: 8, length: 2 });
      expect(copy.part.buffer).toBe(copy.buffer);
      const code = `const b = Uint8Array.from({ length: 64 }, (_, i) => i * 3).buffer;
        ({ whole: new ${name}(b), part: new ${name}(b, 8, 2), none: new ${name}(b, 16, 0), buffer: b })`;
      expectSame(await session.execute(code), value);
    },
  );

  test("keeps cycles and what stands in several places", async () => {
    const shared = { s: new Date(0) };
    const value: Record<string, unknown> = { a: shared, list: [shared, [shared]], map: new Map([[shared, shared]]) };
    value.self = value;
    (value.list as unknown[]).push(value.list, value);
    expectSame(await session.call("identity", [value]), value);
    expectSame(await session.execute("const c = { l: [] }; c.c = c; c.l.push(c, c.l); c"), cyclic());
  });

  test("keeps lastIndex of a RegExp", async () => {
    expect((await session.execute<RegExp>("const r = /b/g; r.test('abc'); r")).lastIndex).toBe(2);
    const regexp = /b/g;
    regexp.lastIndex = 5;
    expect(await session.execute("r.lastIndex", { bindings: { r: regexp } })).toBe(5);
  });

  test("becomes a plain object if it is of a class, with what its getters of its own say, and toJSON is not called", async () => {
    const point = await session.execute(`
      class Point { x = 1; #secret = 2; get y() { return 3 } toJSON() { return "no" } static z = 4 }
      Object.defineProperty(new Point(), "w", { get() { return this.x + 10 }, enumerable: true })`);
    expectSame(point, { x: 1, w: 11 });
    class Here {
      a = [1n];
      get b() {
        return 2;
      }
    }
    expectSame(await session.call("identity", [new Here()]), { a: [1n] });
    expect(
      await session.execute("Object.getPrototypeOf(o) === Object.prototype", { bindings: { o: new Here() } }),
    ).toBe(true);
  });

  test("has only what is its own, enumerable and named by a string", async () => {
    const code = "Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true }, hidden: { value: 3 } })";
    expectSame(await session.execute(`Object.assign(${code}, { [Symbol('s')]: 4 })`), { own: 2 });
  });

  test("is a handle where its buffer is detached, and no bytes where that has shrunk away from it", async () => {
    const gone = "const gone = new Uint8Array(4); gone.buffer.transfer(); ";
    for (const code of [`${gone} gone`, `${gone} [gone]`]) {
      const value = [await session.execute<unknown>(code)].flat()[0];
      expect(value).toMatchObject({ type: "uint8array", preview: "Uint8Array(0) []" });
    }
    const shrunk =
      "const buffer = new ArrayBuffer(8, { maxByteLength: 8 }), view = new Uint8Array(buffer, 4, 4); buffer.resize(2); view";
    expectSame(await session.execute(shrunk), new Uint8Array(0));
  });

  test("of a megabyte of text or bytes comes whole, both ways", { timeout: 60_000 }, async () => {
    for (const text of ["x".repeat(1 << 20), "é\u{1f600}".repeat(150_000), "\u0001\ud800".repeat(80_000)]) {
      expect((await session.call("identity", [text])) === text).toBe(true);
      expect(((await session.call("identity", [[text, undefined]])) as string[])[0] === text).toBe(true);
    }
    const bytes = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 31) >> 3);
    const back = await session.call<Uint8Array>("identity", [bytes]);
    expect(Buffer.compare(back, bytes)).toBe(0);
    const [inside] = await session.call<[Uint8Array]>("identity", [[bytes]]);
    expect(Buffer.compare(inside, bytes)).toBe(0);
  });
});

function cyclic(): unknown {
  const c: { l: unknown[]; c?: unknown } = { l: [] };
  c.c = c;
  c.l.push(c, c.l);
  return c;
}

describe("an error", () => {
  test.each([
    ["5", "5"],
    ["null", "null"],
    ["-0.5", "-0.5"],
    ["5n", "5"],
    ["undefined", ""],
    ["Symbol('x')", ""],
    ["({ toString() { throw 1 } })", ""],
  ])("has as its message the text of what was assigned where that is a primitive: %s", async (assigned, message) => {
    await session.execute(`const odd = new Error("old"); odd.message = ${assigned}`);
    expect(await session.execute("odd")).toMatchObject({ message });
    await expect(session.execute("throw odd")).rejects.toMatchObject({ message });
    const { warnings } = await session.execute("void Promise.reject(odd)").execution();
    expect(warnings.map((warning) => warning.message)).toEqual([
      `unhandled rejection: Error${message === "" ? "" : `: ${message}`}`,
    ]);
  });

  const KINDS = ["Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError"] as const;

  test.each(KINDS)("keeps its class, message and cause: %s", async (name) => {
    const error = new globalThis[name]("no", { cause: { code: 1n } });
    for (const copy of [
      await session.call<Error>("identity", [error]),
      await session.execute<Error>(`new ${name}("no", { cause: { code: 1n } })`),
    ]) {
      expect(Object.getPrototypeOf(copy)).toBe(globalThis[name].prototype);
      expectSame(copy, error);
      expect(copy.cause).toStrictEqual({ code: 1n });
    }
    const seen = `[e instanceof ${name}, e.name, e.message, e.stack, Object.keys(e).length]`;
    expect(await session.execute(seen, { bindings: { e: error } })).toEqual([true, name, "no", "", 0]);
  });

  test("keeps the name and the properties that it has of its own", async () => {
    const code = `class OddError extends RangeError { name = "OddError"; constructor(m) { super(m); this.code = 7; this.at = new Date(0) } }
      new OddError("odd")`;
    const odd = await session.execute<RangeError>(code, { filename: "odd.js" });
    expect(odd).toBeInstanceOf(RangeError);
    expect(odd).toMatchObject({ name: "OddError", message: "odd", code: 7, at: new Date(0) });
    expect(odd.stack).toMatch(/^OddError: odd\n {4}at .*odd\.js/);
    expect(odd.stack).not.toMatch(/livescope/);
    expect(await session.call("identity", [odd])).toMatchObject({ name: "OddError", code: 7, at: new Date(0) });
  });

  test("of several keeps them all, and a cause that is itself", async () => {
    const all = await session.execute<AggregateError>("new AggregateError([new TypeError('a'), 1, undefined], 'all')");
    expect(all).toBeInstanceOf(AggregateError);
    expect(all.errors).toStrictEqual([new TypeError("a"), 1, undefined]);
    expectSame(await session.call("identity", [all]), all);
    const self = await session.execute<Error>("const e = new Error('self'); e.cause = e; e");
    expect(self.cause).toBe(self);
    expect(((await session.call("identity", [self])) as Error).message).toBe("self");
  });

  test("that is hostile is told without running it", async () => {
    await session.execute("var ran = 0");
    const error = await session.execute<Error>(`
      const e = new Error("x");
      for (const key of ["name", "message", "stack", "cause"]) {
        Object.defineProperty(e, key, { get() { ran++; throw 1 }, enumerable: false });
      }
      e`);
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe("");
    expect(await session.execute("ran")).toBe(0);
  });
});

test("large bytes of many calls at once come whole and to whom they belong", async () => {
  const sessions = await Promise.all(Array.from({ length: 4 }, () => served.client.createSession()));
  const calls = sessions.flatMap((own, s) =>
    Array.from({ length: LARGE }, async (_, i) => {
      // From less than what is cloned to more than what fits beside each other where both threads see it.
      const sent = new Uint8Array([1_000, 70_000, 400_000, 3_000_000][i % 4] as number).fill(s * 16 + i);
      const came = await own.execute("bytes.map((byte) => byte + 100)", { bindings: { bytes: sent } });
      const expected = sent.map((byte) => byte + 100);
      return Buffer.from(came as Uint8Array).equals(expected);
    }),
  );
  expect(await Promise.all(calls)).toEqual(calls.map(() => true));
  for (const own of sessions) await own.delete();
});

test("large bytes of an answer that is asked for again are what they were", async () => {
  await using own = await served.client.createSession();
  await own.execute("const give = (byte) => new Uint8Array(1_000_000).fill(byte)");
  const first = await own.call("give", [1], { requestId: "first" });
  for (let i = 2; i < 8; i++) await own.call("give", [i]);
  expect(Buffer.from(first as Uint8Array).every((byte) => byte === 1)).toBe(true);
  const again = await own.call("give", [1], { requestId: "first" });
  expect(Buffer.from(again as Uint8Array).every((byte) => byte === 1)).toBe(true);
});
