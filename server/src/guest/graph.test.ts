/** Graphs in the guest: what hostile text and a broken realm can do to them, which must be nothing. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Engine, type TurnResult } from "../engine/engine.js";
import { type Command, type Effect, type InputValue, ResultEncoding } from "../engine/kernel-protocol.js";
import type { SessionMemory } from "../engine/session-memory.js";

let engine: Engine;
let memory: SessionMemory;
let execution = 0;

beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());
beforeEach(() => {
  memory = engine.createMemory(32 << 20);
});

async function run(command: Command, valueBytes = 1 << 20, handles = 100): Promise<Effect | string> {
  const input = {
    kind: "run",
    command,
    execution: { number: ++execution, encoding: ResultEncoding.FULL, handleGroup: "", valueBytes, handles },
  } as const;
  const result = await new Promise<TurnResult>((done) => {
    engine.run(memory, [{ input, budget: 5_000, consoleBytes: 1_000, done }]);
  });
  return result.kind === "undone" ? result.reason + result.message : (result.effects[0] as Effect);
}

const execute = (code: string, valueBytes?: number, handles?: number): Promise<Effect | string> =>
  run({ kind: "execute", code, filename: "test.js", bindings: new Map() }, valueBytes, handles);

const call = (path: string, ...args: InputValue[]): Promise<Effect | string> =>
  run({ kind: "call", handleId: undefined, path, construct: false, thisValue: undefined, args });

const graph = (text: string): InputValue => ({ kind: "graph", text });

const COUNTING = "let ran = 0; function take(value) { ran++; return true }";

/** Tells of all that a graph may be what a consumer would see. */
const SHOW = `
  let ran = 0;
  function show(value) {
    ran++;
    const own = value !== null && typeof value === "object" ? Reflect.ownKeys(value).map(String).join() : "";
    return Object.prototype.toString.call(value) + " " + own + " " + ({}).polluted;
  }`;

describe("text that is no graph", () => {
  const AAAA = '["ArrayBuffer","AAAA"]';
  test.each([
    "",
    "{}",
    "[]",
    "null",
    "true",
    '"x"',
    "0",
    "1",
    "-2",
    "-7",
    "-8",
    "[[0",
    "[[1]]",
    "[[99999999999999999999]]",
    "[[0.5]]",
    "[[-2.5]]",
    "[[true]]",
    "[[[0]]]",
    '[[{"a":0}]]',
    '[{"a":"b"}]',
    '[{"a":{}}]',
    '[["Nope",0]]',
    '[["toString",0]]',
    '[["__proto__",0]]',
    '[["constructor",0]]',
    '[["Map",0]]',
    '[["Map",0,1]]',
    '[["Set","x"]]',
    '[["null","a"]]',
    '[["null",0,0]]',
    '[["Date"]]',
    '[["Date",0]]',
    '[["Date","NaN"]]',
    '[["Date","2020-01-01"]]',
    '[["BigInt",""]]',
    '[["BigInt","-"]]',
    '[["BigInt","0x10"]]',
    '[["BigInt"," 1"]]',
    '[["BigInt",1]]',
    '[["RegExp","("]]',
    '[["RegExp","a","gg"]]',
    '[["RegExp","a","g",-1]]',
    '[["ArrayBuffer","!!!!"]]',
    '[["ArrayBuffer","AAA"]]',
    '[["ArrayBuffer",5]]',
    '[["Uint8Array",0]]',
    '[["Uint8Array",1],[1]]',
    '[["Uint8Array","AAAA"]]',
    `[["Uint8Array",1,0,4],${AAAA}]`,
    `[["Uint8Array",1,4294967295,1],${AAAA}]`,
    `[["Uint8Array",1,0,-1],${AAAA}]`,
    `[["Uint8Array",1,0],${AAAA}]`,
    `[["Float64Array",1],${AAAA}]`,
    `[["DataView",1,2,2],${AAAA}]`,
    "[[-7]]",
    "[[-7,4294967296]]",
    "[[-7,-1]]",
    "[[-7,3,0]]",
    "[[-7,3,3,0]]",
    "[[-7,3,0.5,0]]",
    '[["Object",0]]',
    '[["Object",-1]]',
    '[["Object",1],{}]',
    '[["Error",0]]',
    '[["Error",1],[]]',
    '[["Error",1],{"type":2},"Nope"]',
    '[["Error",1],{"type":2},"toString"]',
    '[["Error",1],{"message":2},5]',
    '[["Error",1],{"properties":-1}]',
    '[["Array",0,1],{}]',
    '[["Array",1,0],[]]',
    '[["Array",1,2],{},{}]',
    '[["Handle"]]',
    '[["Handle",5]]',
    "[".repeat(200_000),
    `${"[".repeat(200_000)}${"]".repeat(200_000)}`,
  ])("is refused, naming the argument, and nothing runs: %.40s", async (text) => {
    await execute(COUNTING);
    expect(await call("take", { kind: "json", text: "1" }, graph(text))).toMatchObject({
      kind: "refused",
      reason: "invalidGraph",
      what: expect.stringMatching(/^args\[1\]\n./),
    });
    expect(await execute("ran")).toMatchObject({ text: "0" });
  });

  test("is told from a handle that is not there", async () => {
    await execute(COUNTING);
    expect(await call("take", graph('[[1],["Handle","0123456789abcdef"]]'))).toMatchObject({
      kind: "refused",
      reason: "handleNotFound",
      what: "0123456789abcdef",
    });
    expect(await execute("ran")).toMatchObject({ text: "0" });
  });
});

describe("a graph that says strange things", () => {
  test.each([
    ["[[0]]", "[object Array] 0,length undefined"],
    ['[{"__proto__":1},{"polluted":2},true]', "[object Object] __proto__ undefined"],
    ['[["null","__proto__",1],{"polluted":2},true]', "[object Object] __proto__ undefined"],
    ['[["Error",1],{"properties":2},{"__proto__":3},{"polluted":4},1]', "[object Error] stack,__proto__ undefined"],
    ['[["Array",1,2],[],{"__proto__":3},{"polluted":4},1]', "[object Array] length,__proto__ undefined"],
    ['[{"constructor":1,"toString":1},-1]', "[object Object] constructor,toString undefined"],
    ["[[-7,4294967295]]", "[object Array] length undefined"],
    ["[[-7,4294967295,4294967294,1],1]", "[object Array] 4294967294,length undefined"],
    ["[[-2,-2,-2]]", "[object Array] length undefined"],
    ['[["Map",0,0]]', "[object Map]  undefined"],
    ['[["Object",1],-5]', "[object Number]  undefined"],
    ['[["Array",2,1],{"x":2},[2]]', "[object Array] 0,length,x undefined"],
  ])("means no more than it says: %s", async (text, shown) => {
    await execute(SHOW);
    expect(await call("show", graph(text))).toMatchObject({ arm: "json", text: JSON.stringify(shown) });
    expect(await execute("[Object.keys(Object.prototype), Object.keys(Array.prototype)]")).toMatchObject({
      text: "[[],[]]",
    });
  });
});

describe("a value over the limit", () => {
  test.each([
    "[1n, 'x'.repeat(2000)]",
    "[new Uint8Array(1500)]",
    "new Uint8Array(1001)",
    "[undefined, 'é'.repeat(600)]",
  ])("becomes a handle, and nothing of it stays behind: %s", async (code) => {
    expect(await execute(`[() => 1, ${code}]`, 1000)).toMatchObject({ kind: "value", arm: "handle" });
    expect(await execute("(() => 1)", 1000, 2)).toMatchObject({ kind: "value", arm: "handle" });
    expect(await execute("(() => 2)", 1000, 2)).toBe("handles");
  });

  test("stops where it would take more handles than there may be", async () => {
    expect(await execute("[() => 1, () => 2]", 1000, 1)).toBe("handles");
    expect(await execute("[() => 1, () => 2]", 1000, 2)).toMatchObject({ arm: "graph" });
  });
});

describe("getters of what is copied", () => {
  test.each([
    ["({ get a() { delete this.b; return 1 }, b: 2, c: 3, u: undefined })", '[{"a":1,"c":2,"u":-1},1,3]'],
    [
      "const a = [1, 2, 3]; Object.defineProperty(a, 0, { get() { a.length = 1; return 9 }, enumerable: true }); a",
      "[[1,-2,-2],9]",
    ],
    [
      "const m = new Map(); m.set({ get k() { m.clear(); return 1 } }, 2); m.set(3, 4); m",
      '[["Map",1,2,3,4],{"k":5},2,3,4,1]',
    ],
  ])("may change it meanwhile: %s", async (code, text) => {
    expect(await execute(code)).toMatchObject({ kind: "value", arm: "graph", text });
  });

  test("end the execution with what they throw, or by its limits", async () => {
    expect(await execute("({ get a() { throw new RangeError('no') } })")).toMatchObject({
      kind: "exception",
      phase: "encode",
      text: expect.stringContaining('"message":"no"'),
    });
    expect(await execute("const make = () => ({ get next() { return make() } }); make()", 10_000)).toMatchObject({
      kind: "value",
      arm: "handle",
    });
  });
});

describe("a realm that was broken before the codec is loaded", () => {
  /** Replaces every function that can be reached by one that takes note, and puts setters where the kernel might write. */
  const BREAK = `
    const called = [];
    const Failure = Error;
    const note = (name) => function () { called.push(name); throw new Failure("called " + name) };
    const proto = (o) => Object.getPrototypeOf(o);
    const all = { Object, Array, Function, String, Number, Boolean, BigInt, Symbol, Date, RegExp, Map, Set, Error, TypeError,
      AggregateError, ArrayBuffer, DataView, Uint8Array, TypedArray: proto(Uint8Array), Promise, Proxy, Reflect, JSON, Math };
    const { defineProperty, getOwnPropertyDescriptor } = Object;
    const { ownKeys } = Reflect;
    const replace = (owner, name) => {
      const keys = ownKeys(owner);
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i];
        const d = getOwnPropertyDescriptor(owner, key);
        if (!d.configurable || key === "constructor") continue;
        const label = name + "." + (typeof key === "symbol" ? "symbol" : key);
        if (typeof d.value === "function") defineProperty(owner, key, { ...d, value: note(label) });
        else if (d.get) defineProperty(owner, key, { ...d, get: note(label), set: note(label) });
      }
    };
    const keep = [].push;
    Object.defineProperty(called, 'push', { value: keep });
    Object.setPrototypeOf(called, null);
    function report() { return called.length > 0 ? called[0] : 'nothing was called' }
    const names = ownKeys(all);
    const done = [];
    for (let i = 0; i < names.length; i++) done[i] = [all[names[i]], names[i]];
    for (let i = 0; i < done.length; i++) {
      if (done[i][0].prototype) replace(done[i][0].prototype, done[i][1] + ".prototype");
      replace(done[i][0], done[i][1]);
      globalThis[done[i][1]] = note("global " + done[i][1]);
    }
    for (let i = 0; i < 4; i++) defineProperty(Array.prototype, i, { __proto__: null, set: note("Array.prototype[" + i + "]"), configurable: true });
    const fields = ["get", "set", "enumerable", "type", "name", "message", "stack", "cause"];
    for (let i = 0; i < fields.length; i++) {
      const key = fields[i];
      defineProperty(Object.prototype, key, { __proto__: null, get: note("get " + key), set: note("set " + key), configurable: true });
    }
    0`;
  const BUILD = `
    const bytes = new Uint8Array([1, 2, 3, 4]);
    const value = { d: new Date(0), r: /a+/gimsuy, m: new Map([[{ k: 1 }, new Set([1n])]]), b: [bytes.subarray(1, 3), bytes.buffer],
      v: new DataView(bytes.buffer, 1, 2), e: new TypeError("no", { cause: new AggregateError([1], "all") }), o: Object(5),
      n: Object.assign(Object.create(null), { x: undefined }), h: [, -0, NaN], f() {} };
    function identity(value) { return value }
    function first() { return value }`;

  test("neither notices nor changes what is carried", async () => {
    await execute(BUILD);
    const before = (await call("first")) as Effect & { text: string };
    memory = engine.createMemory(32 << 20);
    await execute(BUILD);
    expect(await execute(BREAK)).toMatchObject({ kind: "value", text: "0" });
    const after = (await call("first")) as Effect & { text: string };
    const ignoringIds = (text: string): string => text.replace(/"Handle","[0-9a-f]+"/, '"Handle",""');
    expect(ignoringIds(after.text)).toBe(ignoringIds(before.text));
    const again = (await call("identity", graph(after.text))) as Effect & { text: string };
    expect(again).toMatchObject({ kind: "value", arm: "graph" });
    expect(again.text).toBe(after.text);
    expect(await call("report")).toMatchObject({
      text: '"nothing was called"',
    });
  });
});

describe("bytes", () => {
  test("come in and go out as they are, of any length", async () => {
    await execute("function flip(bytes) { return bytes.map((byte) => byte ^ 255) }");
    for (const length of [0, 1, 3, 65_536, 1 << 20]) {
      const bytes = Uint8Array.from({ length }, (_, i) => i * 7);
      const effect = await call("flip", { kind: "bytes", bytes });
      expect(effect).toMatchObject({ kind: "value", arm: "bytes" });
      const given = typeof effect === "object" && "bytes" in effect ? effect.bytes : undefined;
      expect(
        Buffer.compare(
          given as Uint8Array,
          bytes.map((byte) => byte ^ 255),
        ),
      ).toBe(0);
    }
  });
});
