import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Engine, type TurnResult } from "../engine/engine.js";
import {
  type Command,
  type Effect,
  type InputValue,
  ResultEncoding,
  type TurnInput,
} from "../engine/kernel-protocol.js";
import type { SessionMemory } from "../engine/session-memory.js";

const GENEROUS = 5_000;
let engine: Engine;
let memory: SessionMemory;
let execution = 0;

beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

async function turn(input: TurnInput): Promise<readonly Effect[]> {
  const result = await new Promise<TurnResult>((done) => {
    engine.run(memory, [{ input, budget: GENEROUS, consoleBytes: 1_000, done }]);
  });
  if (result.kind === "undone") throw new Error(`undone: ${result.reason} ${result.message}`);
  return result.effects;
}

async function run(command: Command, encoding: number): Promise<Effect> {
  const input: TurnInput = {
    kind: "run",
    command,
    execution: {
      number: ++execution,
      encoding,
      handleGroup: "",
      valueBytes: 1 << 20,
      handles: 1000,
    },
  };
  return settled(await turn(input));
}

function execute(
  code: string,
  encoding: number = ResultEncoding.FULL,
  bindings: ReadonlyMap<string, InputValue> = new Map(),
): Promise<Effect> {
  return run({ kind: "execute", code, filename: "test.js", bindings }, encoding);
}

function call(path: string | undefined, args: readonly InputValue[], handleId?: string): Promise<Effect> {
  return run({ kind: "call", handleId, path, construct: false, thisValue: undefined, args }, ResultEncoding.FULL);
}

function settled(effects: readonly Effect[]): Effect {
  const [effect] = effects;
  if (effect === undefined) throw new Error("the turn settled nothing");
  return effect;
}

const json = (text: string): InputValue => ({ kind: "json", text });
const valueText = (text: string) => ({ kind: "value", arm: "json", text });

async function handleOf(code: string): Promise<string> {
  const effect = await execute(code, ResultEncoding.HANDLE);
  if (effect.kind !== "value" || effect.arm !== "handle") throw new Error(`no handle of ${code}`);
  return (JSON.parse(effect.text) as { handleId: string }).handleId;
}

describe("the kernel", () => {
  beforeAll(() => {
    memory = engine.createMemory(32 << 20);
  });

  test("reads several arguments in their order and kind", async () => {
    await execute("function show(...values) { return JSON.stringify(values.map((v) => typeof v + ':' + v)) }");
    const handleId = await handleOf("(function named() {})");
    const args = [json('"a"'), { kind: "undefined" } as const, { kind: "handle", handleId } as const, json("[1,2]")];
    expect(await call("show", args)).toMatchObject(
      valueText(JSON.stringify('["string:a","undefined:undefined","function:function named() {}","object:1,2"]')),
    );
  });

  test("brings a library in when one of its names is first used", async () => {
    const before = "Object.getOwnPropertyDescriptor(globalThis, 'btoa').get !== undefined";
    expect(await execute(before)).toMatchObject(valueText("true"));
    expect(await execute("atob(btoa('\\0\\xff~ '))  === '\\0\\xff~ ' && btoa('ab')")).toMatchObject(
      valueText('"YWI="'),
    );
    expect(await execute(before)).toMatchObject(valueText("false"));
    expect(await execute("btoa = 1; [btoa, typeof atob, String(atob)]")).toMatchObject(
      valueText('[1,"function","function atob() {\\n    [native code]\\n}"]'),
    );
  });

  test("refuses text that is no JSON, naming the argument, and runs nothing", async () => {
    await execute("var ran = 0; function f() { ran++ }");
    for (const text of ["", "{", "1,2", "undefined", "1 2", "[1]]"]) {
      expect(await call("f", [json("1"), json(text)])).toMatchObject({
        kind: "refused",
        reason: "invalidJson",
        what: "args[1]",
      });
    }
    expect(await execute("ran")).toMatchObject(valueText("0"));
  });

  test("keeps one handle for one value within a group, and another in another", async () => {
    await execute("var shared = {}");
    const first = await handleOf("shared");
    expect(await handleOf("shared")).toBe(first);
    expect(first).toMatch(/^[0-9a-f]{16}$/);
  });

  test("calls methods with the object before the last dot as this", async () => {
    await execute("var counter = { n: 0, inner: { n: 5, up() { return ++this.n } } }");
    expect(await call("counter.inner.up", [])).toMatchObject(valueText("6"));
    const handleId = await handleOf("counter");
    expect(await call("inner.up", [], handleId)).toMatchObject(valueText("7"));
  });

  test.each([
    ["nothingHere", "ReferenceError", "nothingHere is not defined"],
    ["Math.nope", "TypeError", "Math.nope is not a function"],
    ["Math.nope.deeper", "TypeError", "cannot read property deeper of Math.nope, which is undefined"],
  ])("says what is wrong with the path %s", async (path, name, message) => {
    const effect = await call(path, []);
    expect(effect.kind === "exception" && JSON.parse(effect.text)).toMatchObject({ name, message });
  });

  test.each([
    ["({ a: [1, 'x', true, null] })", '{"a":[1,"x",true,null]}'],
    ["'\\u2028\\u0000\\ud800'", '"\u2028\\u0000\\ud800"'],
    ["({ __proto__: null, a: 1 }).a", "1"],
    ["JSON.parse('{\"__proto__\":1}')", '{"__proto__":1}'],
  ])("writes plain data as JSON: %s", async (code, text) => {
    expect(await execute(code)).toMatchObject(valueText(text));
  });

  test.each([
    ["Object.defineProperty({ a: 1 }, 'hidden', { value: 2 })", '{"a":1}'],
    ["({ [Symbol('s')]: 1, a: 2 })", '{"a":2}'],
    ["({ toJSON: 1 })", '{"toJSON":1}'],
  ])("leaves out what no copy has: %s", async (code, text) => {
    expect(await execute(code)).toMatchObject(valueText(text));
    expect(await execute(code, ResultEncoding.UNSPECIFIED)).toMatchObject(valueText(text));
  });

  test.each([
    ["-0", "-6"],
    ["NaN", "-3"],
    ["[undefined]", "[[-1]]"],
    ["[, 1]", "[[-2,1],1]"],
    ["new Date(0)", '[["Date","1970-01-01T00:00:00.000Z"]]'],
    ["({ get a() { return 1 } })", '[{"a":1},1]'],
    ["new (class Point { x = 1 })()", '[{"x":1},1]'],
    ["Object.assign([1], { extra: 1 })", '[["Array",1,2],[3],{"extra":4},1,1]'],
    ["(() => { const o = {}; o.self = o; return o })()", '[{"self":0}]'],
    ["5n", '[["BigInt","5"]]'],
  ])("gives a graph where JSON would change the value: %s", async (code, text) => {
    expect(await execute(code)).toMatchObject({ kind: "value", arm: "graph", text });
    expect(await execute(code, ResultEncoding.UNSPECIFIED)).toMatchObject({ kind: "value", arm: "handle" });
  });

  test("keeps that an object stands in two places, but not for people", async () => {
    const code = "(() => { const o = {}; return [o, o] })()";
    expect(await execute(code)).toMatchObject({ kind: "value", arm: "graph", text: "[[1,1],{}]" });
    expect(await execute(code, ResultEncoding.UNSPECIFIED)).toMatchObject(valueText("[{},{}]"));
  });

  test.each([
    "Symbol('s')",
    "() => 1",
    "new Proxy({ a: 1 }, {})",
    "globalThis",
    "[].values()",
    "(async function* () {})()",
    "new WeakRef({})",
    "(() => { const b = new ArrayBuffer(1); b.transfer(); return b })()",
    "Object(Symbol('s'))",
  ])("gives a handle for what cannot be copied: %s", async (code) => {
    expect(await execute(code)).toMatchObject({ kind: "value", arm: "handle" });
  });

  test("gives the bytes of a Uint8Array and no others of its buffer", async () => {
    expect(await execute("new Uint8Array([9, 1, 2, 9]).subarray(1, 3)")).toMatchObject({
      kind: "value",
      arm: "bytes",
      bytes: new Uint8Array([1, 2]),
    });
    expect(await execute("new Uint8Array()")).toMatchObject({ arm: "bytes", bytes: new Uint8Array() });
  });

  test("runs no getter, trap or method of a value it only describes", async () => {
    await execute("var ran = []");
    const hostile = `({
      get a() { ran.push('getter') }, toJSON() { ran.push('toJSON') }, toString() { ran.push('toString') },
      [Symbol.toPrimitive]() { ran.push('toPrimitive') }, get [Symbol.toStringTag]() { ran.push('tag') },
      p: new Proxy({}, { get() { ran.push('get') }, ownKeys() { ran.push('keys'); return [] },
        getPrototypeOf() { ran.push('proto'); return null } }),
    })`;
    expect(await execute(hostile, ResultEncoding.UNSPECIFIED)).toMatchObject({ kind: "value", arm: "handle" });
    expect(await execute(`throw ${hostile}`, ResultEncoding.UNSPECIFIED)).toMatchObject({ kind: "exception" });
    expect(await execute("ran.length")).toMatchObject(valueText("0"));
    // A copy has what the getters of what is copied give, as in structured cloning, and runs nothing else.
    expect(await execute(hostile)).toMatchObject({ kind: "value", arm: "graph" });
    expect(await execute("ran.join()")).toMatchObject(valueText('"getter"'));
  });

  test("tells of what was thrown however long its chain of prototypes is", async () => {
    await execute("let long = null; for (let i = 0; i < 30_000; i++) long = Object.create(long); 0");
    expect(await execute("throw long")).toMatchObject({ kind: "exception" });
    expect(await execute("Promise.reject(long); 1")).toMatchObject({ kind: "value" });
  });

  test("needs no method of strings that guest code can replace", async () => {
    await execute(
      "for (const name of Object.getOwnPropertyNames(String.prototype)) String.prototype[name] = () => 'x'",
    );
    expect(await execute("({ a: [1, 'b'] })")).toMatchObject(valueText('{"a":[1,"b"]}'));
    const thrown = await execute("throw new Error('hi')");
    expect(thrown.kind === "exception" && JSON.parse(thrown.text)).toMatchObject({ name: "Error", message: "hi" });
    expect(await execute("console.log({ a: 1 }); 1")).toMatchObject(valueText("1"));
  });

  test("encodes as JSON.stringify does where JSON is asked for", async () => {
    expect(await execute("({ a: undefined, d: new Date(0), f() {} })", ResultEncoding.JSON)).toMatchObject(
      valueText('{"d":"1970-01-01T00:00:00.000Z"}'),
    );
    expect(await execute("10n", ResultEncoding.JSON)).toMatchObject({ kind: "exception", phase: "encode" });
    expect(await execute("(() => 1)", ResultEncoding.JSON)).toMatchObject({ kind: "value", arm: "undefined" });
  });

  test("gives a graph for what is nested too deep for JSON", async () => {
    const nested = (levels: number): string => `let deep = []; for (let i = 0; i < ${levels}; i++) deep = [deep]; deep`;
    expect(await execute(nested(100))).toMatchObject({ kind: "value", arm: "json" });
    for (const levels of [300, 1_000, 20_000]) {
      expect(await execute(nested(levels))).toMatchObject({ kind: "value", arm: "graph" });
      expect(await execute(nested(levels), ResultEncoding.UNSPECIFIED)).toMatchObject({ kind: "value", arm: "handle" });
    }
  });

  test("looks at constants, which are accessors of its own making", async () => {
    await execute("const box = { size: 3 }");
    const effects = await turn({ kind: "inspect", handleId: undefined, path: "box", maximumProperties: 10 });
    expect(effects[0]?.kind === "answer" && JSON.parse(effects[0].text)).toMatchObject({
      handle: { type: "object", preview: "{ size: 3 }" },
      properties: [{ name: "size", value: "3" }],
    });
  });

  test("takes more numbers than its cells hold", async () => {
    await execute("function sum(...numbers) { return numbers.reduce((a, b) => a + b, 0) }");
    const args = Array.from({ length: 500 }, (_, i) => json(`${i}`));
    expect(await call("sum", args)).toMatchObject(valueText("124750"));
  });

  test("awaits a promise before it encodes it", async () => {
    expect(await execute("(async () => { await null; return [1] })()")).toMatchObject(valueText("[1]"));
    expect(await execute("Promise.reject(new Error('no'))")).toMatchObject({ kind: "exception", phase: "rejection" });
    expect(await execute("Promise.resolve(1)", ResultEncoding.HANDLE)).toMatchObject({ kind: "value", arm: "handle" });
  });

  test("says at once that a promise can never settle", async () => {
    expect(await execute("new Promise(() => {})")).toMatchObject({ kind: "exception", phase: "deadlock" });
    expect(await execute("await new Promise(() => {})")).toMatchObject({ kind: "exception", phase: "deadlock" });
  });

  test("answers for the execution that runs, not for one that ended in a deadlock and was resolved later", async () => {
    await execute("var settle, refuse; new Promise((resolve, reject) => { settle = resolve; refuse = reject })");
    const busy = "(async () => { for (let i = 0; i < 50; i++) await 0; return 'mine' })()";
    expect(await execute(`settle(42); ${busy}`)).toMatchObject(valueText('"mine"'));
    await execute("new Promise((resolve, reject) => { refuse = reject })");
    expect(await execute(`refuse(new Error('other')); ${busy}`)).toMatchObject(valueText('"mine"'));
  });

  test("binds names for one source and the closures made in it", async () => {
    const bindings = new Map([["x", json("10")]]);
    expect(await execute("var g = () => x; g()", ResultEncoding.FULL, bindings)).toMatchObject(valueText("10"));
    expect(await execute("typeof x")).toMatchObject(valueText('"undefined"'));
    expect(await call("g", [])).toMatchObject(valueText("10"));
  });
});

test.each(["0", "0.5", "true", "null", "'x'"])("gives %s without a library", async (code) => {
  const heapBytes = async (given: string): Promise<number> => {
    memory = engine.createMemory(32 << 20);
    expect(await execute(given)).toMatchObject({ kind: "value", arm: "json" });
    return memory.heapBytes;
  };
  expect(await heapBytes(code)).toBe(await heapBytes("1"));
});

test("gives a function in full by what a handle takes, and no more", async () => {
  const heapBytes = async (encoding: number): Promise<number> => {
    memory = engine.createMemory(32 << 20);
    expect(await execute("(() => 1)", encoding)).toMatchObject({ kind: "value", arm: "handle" });
    return memory.heapBytes;
  };
  expect(await heapBytes(ResultEncoding.FULL)).toBe(await heapBytes(ResultEncoding.HANDLE));
});

describe("guest code that breaks its own realm", () => {
  beforeEach(() => {
    memory = engine.createMemory(32 << 20);
  });

  test.each([
    ["JSON", "JSON = { parse: null, stringify: null }; [1, { a: 'b' }]", '[1,{"a":"b"}]'],
    ["JSON's functions", "JSON.parse = JSON.stringify = () => { throw 1 }; [1]", "[1]"],
    ["Object.prototype.toJSON", "Object.prototype.toJSON = () => 'hijacked'; ({ a: [1] })", '{"a":[1]}'],
    ["String.prototype", "String.prototype.slice = String.prototype.indexOf = null; 'x'", '"x"'],
    ["string concatenation", "String.prototype.concat = () => 'forged'; ({ a: 'x' })", '{"a":"x"}'],
    ["Array.prototype", "Array.prototype.push = Array.prototype.join = null; [1, 2]", "[1,2]"],
    [
      "index setters",
      "for (const i of [0, 1, 2, 3]) Object.defineProperty(Array.prototype, i, { set() { throw 'met' } }); 1",
      "1",
    ],
    [
      "fields of Object.prototype",
      "Object.prototype.value = Object.prototype.get = Object.prototype.set = () => 1; const k = 2; k",
      "2",
    ],
    [
      "Map and WeakSet",
      "for (const C of [Map, Set, WeakSet]) for (const k of Reflect.ownKeys(C.prototype)) delete C.prototype[k]; 1",
      "1",
    ],
    ["Promise", "Promise.prototype.then = Promise.prototype.constructor = Promise.resolve = () => { throw 1 }; 1", "1"],
    [
      "Reflect and Object",
      "for (const [O, keys] of [Reflect, Object].map((O) => [O, Reflect.ownKeys(O)])) for (const k of keys) O[k] = null; 1",
      "1",
    ],
    [
      "Function.prototype",
      "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null; 1",
      "1",
    ],
    ["globalThis", "for (const k of Reflect.ownKeys(globalThis)) try { delete globalThis[k] } catch {} 1", "1"],
  ])("does not break the kernel by breaking %s", async (_what, code, text) => {
    expect(await execute(code)).toMatchObject(valueText(text));
    const handleId = await handleOf("(function (a, b) { return a + b })");
    expect(await call(undefined, [json("1"), json("2")], handleId)).toMatchObject(valueText("3"));
    expect(await execute("throw 5")).toMatchObject({ kind: "exception" });
  });

  test.each([
    "globalThis = 1",
    "globalThis = new Proxy({}, { defineProperty() { throw 1 }, getOwnPropertyDescriptor() { throw 2 } })",
  ])("does not break later declarations by %s", async (code) => {
    await execute(`${code}; 0`);
    expect(await execute("let q = 1; const r = 2; q + r")).toMatchObject(valueText("3"));
  });

  test("cannot reach the kernel's scope functions to any use, nor see their name", async () => {
    expect(await execute("('$live' + 'scope$') in globalThis")).toMatchObject(valueText("false"));
    for (const source of [
      "$livescope$",
      "\\u0024livescope$ = 1",
      "$livesco\\u{0070}e$",
      "let $livescope$c",
      "'$livescope$'",
    ]) {
      expect(await execute(source)).toMatchObject({ kind: "exception", phase: "parse" });
      for (const evaluate of [
        "eval",
        "(0, eval)",
        "Function",
        "(async () => {}).constructor",
        "setTimeout.constructor",
      ]) {
        expect(await execute(`try { ${evaluate}("$live" + "scope$") } catch (e) { e.name }`)).toMatchObject(
          valueText('"SyntaxError"'),
        );
      }
    }
    expect(await execute("console.log.toString().includes('native code')")).toMatchObject(valueText("true"));
  });
});
