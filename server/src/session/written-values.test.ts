/**
 * What an execution gives is written by the host, straight from the session's memory, where that is sure of it; else by the kernel. Of
 * each value they write the same, whatever guest code made of it.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import { sessionLimits } from "./limits.js";
import type { Value } from "./outcome.js";
import { Session } from "./session.js";

let engine: Engine;
let session: Session;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
  session = new Session(engine, {
    sessionId: "a",
    labels: new Map(),
    limits: sessionLimits({}),
    idleTtl: 60_000,
    idleAction: "delete",
    parent: "",
  });
  // Values that none but guest code can make of others.
  await run(`
    var shared = { s: [1] };
    function without(o, ...names) { for (const name of names) delete o[name]; return o }
    function define(o, name, descriptor) { return Object.defineProperty(o, name, descriptor) }
    function nested(depth, inner) { let o = inner; for (let i = 0; i < depth; i++) o = i % 2 ? [o] : { o }; return o }
    class Point { constructor(x) { this.x = x } #y = 1; get z() { return 2 } }
    class List extends Array {}
    function args() { return arguments }
    function filled(length, item) { const all = []; for (let i = 0; i < length; i++) all.push(item); return all }
    0`);
});
afterAll(async () => {
  await session.end(() => new SessionError("SESSION_DELETED", "over"));
  await engine.close();
});

async function run(code: string, encoding = 1, valueBytes = 100_000): Promise<{ emitted: Value[]; value: unknown }> {
  const emitted: Value[] = [];
  const { outcome } = session.submit(
    { kind: "execute", code, filename: "a.js", isModule: false, bindings: new Map() },
    {
      ...{ encoding, handleGroup: "g", requestId: "", digest: "", atomic: false, parentExecutionId: "" },
      ...{ deadline: Number.POSITIVE_INFINITY, limits: { valueBytes, handles: 100_000 } },
      listener: { emitted: (value) => emitted.push(value) },
    },
  );
  const { result } = await outcome;
  return { emitted, value: result.kind === "value" ? result.value : result };
}

/** Whatever it is, but for what is told of handles, and digits that the engine writes of some numbers, and that V8 knows to be of no use. */
function told(value: unknown): string {
  const { kind, text = "" } = value as { readonly kind: string; readonly text?: string };
  const named = text
    .replaceAll(/\["Handle","[^"]*"/g, "")
    .replaceAll(/\d+\.\d+(e[-+]\d+)?/g, (number) => `${Number(number)}`);
  return `${kind} ${named}`;
}

const KEYS = [
  "a",
  "b",
  "name",
  "é",
  "€",
  "__proto__",
  "toJSON",
  "then",
  "length",
  "0",
  "7",
  "4294967294",
  "-1",
  "01",
  '"',
  "\n",
  " ",
];
const STRINGS = [
  "",
  "x",
  'say \\"hi\\"',
  "\\u0000\\n\\u001f\\u007f",
  "é",
  "€uro",
  "\\ud83d\\ude00",
  "\\ud83d",
  "\\ude00x",
  "\\u2028",
];
const LEAVES = [
  ...[
    "0",
    "-0",
    "1",
    "-1",
    "2147483647",
    "2147483648",
    "-2147483649",
    "0.1",
    "1e21",
    "5e-324",
    "1.7976931348623157e308",
    "NaN",
  ],
  ...[
    "Infinity",
    "-Infinity",
    "1/3",
    "2 ** -24",
    "2**53",
    "123456789.123",
    "1e-7",
    "true",
    "false",
    "null",
    "undefined",
    "1n",
    "2n**70n",
  ],
  ...[
    "Symbol('s')",
    "() => 1",
    "new Date(0)",
    "/x/g",
    "new Map([[1, 2]])",
    "new Uint8Array(2)",
    "Promise.resolve(1)",
    "new Proxy({}, {})",
  ],
  ...[
    "globalThis",
    "Object.prototype",
    "Array.prototype",
    "shared",
    "shared.s",
    "new Point(1)",
    "List.of(1, 2)",
    "args(1, 2)",
    "Object(1)",
  ],
  ...[
    "Object.create(null)",
    "Object.create({ a: 1 })",
    "new Error('e')",
    "[,]",
    "[1,,2]",
    "new Array(3)",
    "Object.freeze({ a: [1] })",
  ],
  ...[
    "Object.assign([1], { a: 1 })",
    "define([1], 'a', { value: 2 })",
    "define([1, 2], 'length', { writable: false })",
  ],
  ...[
    "without([1, 2], 1)",
    "define({ a: 1 }, 'b', { value: 2 })",
    "define({}, 'a', { get: () => 1, enumerable: true })",
  ],
  ...[
    "define({}, 'a', { set() {}, enumerable: true })",
    "{ [Symbol.iterator]: 1, a: 2 }",
    "without({ a: 1, b: 2, c: 3 }, 'b')",
  ],
  ...[
    "Object.setPrototypeOf(new Date(1), Object.prototype)",
    "Object.setPrototypeOf([], null)",
    "Object.setPrototypeOf({}, Array.prototype)",
  ],
  ...[
    "nested(45, 1)",
    "nested(49, 1)",
    "nested(190, 'x')",
    "nested(210, 0)",
    "filled(300, 1)",
    "filled(300, 'ab')",
    "Object.entries(shared)",
  ],
  ...[
    "'x'.repeat(600) + 'y'.repeat(600)",
    "'é'.repeat(600) + '€'.repeat(600) + 'z'",
    "'ab'.repeat(40000)",
    "JSON.parse('{\"__proto__\":1}')",
  ],
  ...[
    "Object.fromEntries(filled(60, 0).map((_, i) => ['k' + i, i]))",
    "without(Object.fromEntries(filled(60, 0).map((_, i) => ['k' + i, i])), 'k3', 'k59')",
  ],
  ...[
    "filled(4, shared)",
    "[shared, shared.s]",
    "new Map([[{}, [1]], ['a', shared], [NaN, undefined]])",
    "new Set([shared, 1n, -0, new Set()])",
    "[new Date(NaN), new Date(-8.64e15), -0, undefined, -1n]",
    "new (class extends Map {})([[1, 2]])",
    "Object.assign(new Date(3), { a: 1 })",
    "Object.assign(new Map([[1, 2]]), { a: 1 })",
    "(() => { const m = new Map([[1, 2], [3, 4]]); m.delete(1); return m })()",
    "(() => { const s = new Set([1, 2, 3]); const i = s.values(); i.next(); i.next(); s.delete(2); globalThis.kept = i; return s })()",
    "new DOMException('x', 'AbortError')",
    "Object.setPrototypeOf(new DOMException('x'), Object.prototype)",
    "new WeakMap()",
    "Object.assign(Object.create(null), { a: 1, b: { c: 2 } })",
    "new (class { a = 1; b = [this] })()",
    "nested(3000, 1)",
    "[filled(2000, 0.5)]",
    "2n ** 31n",
    "-(2n ** 31n)",
    "-(2n ** 63n)",
    "(() => { const o = {}; return [o, o] })()",
    "(() => { const o = {}; o.o = o; return o })()",
    "filled(3, {}).map((_, i) => ({ id: i, name: 'n' + i }))",
    "'abc'.match(/b/)",
    "[...'a€b']",
    "'a,b'.split(',')",
  ],
];

const { value } = fc.letrec<{ value: string; leaf: string; key: string }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom(...LEAVES),
    fc.constantFrom(...STRINGS.map((string) => `"${string}"`)),
    fc.double().map((number) => `${Object.is(number, -0) ? "-0" : number}`),
    fc.integer().map(String),
    fc.string({ unit: "binary" }).map((string) => JSON.stringify(string)),
  ),
  key: fc.constantFrom(...KEYS).map((key) => `[${JSON.stringify(key)}]`),
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    { weight: 3, arbitrary: tie("leaf") },
    { weight: 3, arbitrary: fc.array(tie("value"), { maxLength: 5 }).map((items) => `[${items.join(", ")}]`) },
    {
      weight: 3,
      arbitrary: fc
        .array(fc.tuple(tie("key"), tie("value")), { maxLength: 5 })
        .map((members) => `({ ${members.map(([key, item]) => `${key}: ${item}`).join(", ")} })`),
    },
  ),
}));

/** The host leaves names that are indices to the kernel, and with such a name whatever stands under it. */
async function expectSame(code: string, encoding: number, valueBytes: number): Promise<void> {
  const { emitted, value } = await run(`{ const v = ${code}; emit({ 0: v }); ({ a: v }) }`, encoding, valueBytes);
  expect(told(value)).toBe(told(emitted[0]).replace('{"0":', '{"a":'));
}

describe.each([
  ["in full", 1],
  ["as plain data, if it is", 0],
])("the host and the kernel write the same: %s", (_, encoding) => {
  test.each(LEAVES)("%s", async (code) => expectSame(code, encoding, 100_000));

  test("whatever stands in whatever", async () => {
    const sizes = fc.constantFrom(20, 1_000, 100_000);
    const property = fc.asyncProperty(value, sizes, (code, valueBytes) => expectSame(code, encoding, valueBytes));
    await fc.assert(property, { numRuns: 300 });
  });
});

describe.each([
  ["in full", 1, "graph"],
  ["as plain data, if it is", 0, "handle"],
])("what was made as something else is that, whatever its prototype says: %s", (_, encoding, kind) => {
  test.each(["new Map([[1, 2]])", "new Date(1)", "new Uint8Array(2)", "Object('x')", "Object(1n)", "[].values()"])(
    "%s",
    async (code) => {
      const { emitted, value } = await run(
        `{ const v = { v: Object.setPrototypeOf(${code}, Object.prototype) }; emit(v); v }`,
        encoding,
      );
      expect([(emitted[0] as Value).kind, (value as Value).kind]).toEqual([kind, kind]);
    },
  );

  test("no guest code is asked what it is", async () => {
    const { value } = await run(
      `{ globalThis.asked = 0;
        const { toString } = Object.prototype;
        Object.prototype.toString = () => { asked++; return "x" };
        emit({ v: Object.setPrototypeOf(Object("x"), Object.prototype) });
        Object.prototype.toString = toString;
        asked }`,
      encoding,
    );
    expect(value).toEqual({ kind: "json", text: "0" });
  });
});
