import { execFileSync } from "node:child_process";
import type { ConsoleEntry, Livescope, Session } from "@livescope/sdk";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { formats, methods, values } from "../support/console-lines.js";
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

async function entries(code: string): Promise<readonly ConsoleEntry[]> {
  const { console } = await session.execute(code).execution();
  return console;
}

async function printed(code: string): Promise<string> {
  return (await entries(code)).map(({ text }) => text).join("\n");
}

/** Prints what Node's own console prints for each statement. In a process of its own, where nothing leaves marks in what is shown. */
const NODE_PRINTS = `
  const { Console } = require("node:console");
  const { Writable } = require("node:stream");
  const printed = JSON.parse(require("node:fs").readFileSync(0, "utf8")).map((statement) => {
    let text = "";
    const sink = new Writable({ write(chunk, encoding, done) { text += chunk; done(); } });
    new Function("console", statement)(new Console(sink, sink));
    return text.replace(/\\n$/, "");
  });
  process.stdout.write(JSON.stringify(printed));`;

function printedByNode(statements: readonly string[]): string[] {
  const printed = execFileSync(process.execPath, ["-e", NODE_PRINTS], { input: JSON.stringify(statements) });
  return JSON.parse(String(printed)) as string[];
}

const statementOf = (line: string) => (line.includes("console.") ? line : `console.log(${line})`);

describe("the console prints what Node's prints", () => {
  it.each(Object.entries({ values, formats, methods }))("of %s", async (_kind, lines) => {
    const statements = lines.map(statementOf);
    const byNode = printedByNode(statements);
    for (const [i, statement] of statements.entries()) {
      expect(await printed(`{${statement}}`), statement).toBe(byNode[i]);
    }
  });

  it.each([
    ["console.log(new Proxy({ a: 1 }, {}))", "[Proxy]", "its traps could run"],
    [
      "console.log(new (class Foo { get [Symbol.toStringTag]() { return 'bar' } })())",
      "Foo {}",
      "the getter is not run",
    ],
    ["console.log('%s', { toString() { return 'mine' } })", "{ toString: [Function: toString] }", "nor is toString"],
    ["console.log('%d', { valueOf() { return 5 } })", "NaN", "nor valueOf"],
    ["console.log('%j', { toJSON() { return 5 } })", "{ toJSON: [Function: toJSON] }", "nor toJSON"],
    ["console.table([{ get a() { return 1 } }])", "│ 0       │ [Getter] │", "nor a getter in a table"],
    ["console.table({ get a() { return 1 } })", "│ a       │ [Getter] │", "nor one that is a row of it"],
    ["console.assert(false, { a: 1 })", "Assertion failed: { a: 1 }", "Node has [object Object]"],
    [
      "console.log({ [Symbol.for('nodejs.util.inspect.custom')]() { return 'x' } })",
      "nodejs.util.inspect.custom",
      "not Node",
    ],
  ])("but for %s", async (code, text) => {
    expect(await printed(`{${code}}`)).toContain(text);
  });
});

describe("the console", () => {
  it("has a level for each entry, and a place for warnings and errors", async () => {
    const code = [
      "function f() { console.warn('w') }",
      "console.debug(1); console.log(2); console.info(3);",
      "f(); console.error({ a: 1 }); console.assert(false); console.trace('t'); console.table([[1]]);",
    ].join("\n");
    const { console } = await session.execute(code, { filename: "a.js" }).execution();
    expect(console.map(({ level }) => level)).toEqual([
      "debug",
      "log",
      "info",
      "warn",
      "error",
      "error",
      "error",
      "log",
    ]);
    expect(console.map(({ frame }) => frame && [frame.functionName, frame.filename, frame.line])).toEqual([
      ...[undefined, undefined, undefined],
      ...[
        ["f", "a.js", 1],
        ["", "a.js", 3],
        ["", "a.js", 3],
        ["", "a.js", 3],
      ],
      undefined,
    ]);
  });

  it("traces the calls of guest code alone", async () => {
    const text = await printed("function outer() { inner() }\nfunction inner() { console.trace('at %d', 1) }\nouter()");
    expect(text.split("\n").map((line) => line.replace(/\(.*:(\d+):\d+\)/, "$1"))).toEqual([
      "Trace: at 1",
      "    at inner 2",
      "    at outer 1",
      "    at <eval> 3",
    ]);
  });

  it("shows an error with its frames, its cause and what else it carries", async () => {
    const code =
      "const cause = new RangeError('why');\nconst e = new TypeError('no', { cause });\ne.code = 7; console.log(e)";
    expect((await printed(code)).replace(/script\.js:(\d+):\d+/g, "$1")).toBe(
      "TypeError: no\n    at <eval> (2) {\n  code: 7,\n  [cause]: RangeError: why\n      at <eval> (1)\n}",
    );
  });

  it("keeps counters and timers for the session", async () => {
    expect(await printed("console.count('a'); console.time('t')")).toBe("a: 1");
    expect(await printed("console.count('a'); console.timeEnd('t')")).toMatch(/^a: 2\nt: \d+(\.\d+)?(ms|s)$/);
    const warned = await entries("console.timeEnd('t'); console.timeLog('u', 1); console.countReset('b')");
    expect(warned.map(({ level, text }) => [level, text])).toEqual([
      ["warn", "Warning: No such label 't' for console.timeEnd()"],
      ["warn", "Warning: No such label 'u' for console.timeLog()"],
      ["warn", "Warning: Count for 'b' does not exist"],
    ]);
    expect(await printed("console.time(); console.time()")).toBe(
      "Warning: Label 'default' already exists for console.time()",
    );
  });

  it("ends a group with the execution that left it open", async () => {
    expect(await printed("console.group('g'); console.log('in')")).toBe("g\n  in");
    expect(await printed("console.log('out')")).toBe("out");
  });

  it("runs no code of what it prints", async () => {
    await session.execute(`var ran = [];
      var hostile = () => ({
        get a() { ran.push('getter') }, toString() { ran.push('toString') }, toJSON() { ran.push('toJSON') },
        get [Symbol.toStringTag]() { ran.push('tag') }, [Symbol.toPrimitive]() { ran.push('toPrimitive') },
        [Symbol.for('nodejs.util.inspect.custom')]() { ran.push('custom') },
        get constructor() { ran.push('constructor') },
        p: new Proxy({}, new Proxy({}, { get() { ran.push('trap') } })),
        e: Object.defineProperties(new Error('x'), Object.fromEntries(
          ['name', 'message', 'stack', 'cause', 'errors'].map((k) => [k, { get() { ran.push(k) } }]))),
        f: Object.defineProperty(() => 1, 'name', { get() { ran.push('name') } }),
        r: Object.defineProperties(/x/g, Object.fromEntries(
          ['global', 'flags', 'source'].map((k) => [k, { get() { ran.push(k) } }]))),
        d: Object.defineProperties(new Date(0), { toISOString: { get() { ran.push('date') } } }),
        m: Object.defineProperties(new Map([[1, 2]]), { forEach: { get() { ran.push('forEach') } }, size: { get() { ran.push('size') } } }),
      })`);
    const methods = ["log", "error", "dir", "table", "group", "count", "time", "timeLog", "trace", "assert"];
    for (const method of methods) {
      await session.execute(
        `{ const h = hostile(); console.${method}(h, h); console.${method}('%s %d %i %f %j %o %O %c', h, h, h, h, h, h, h, h) }`,
      );
    }
    await session.execute(
      "console.table([hostile()], hostile()); console.dir(1, hostile()); console.assert(false, hostile())",
    );
    expect(await session.execute("ran")).toEqual([]);
  });

  it("prints whatever guest code did to its realm, before the first object was printed", async () => {
    await session.execute(`
      const keysOf = Reflect.ownKeys, define = Object.defineProperty;
      const classes = [Array, Map, Set, String, Number, Date, RegExp, Promise, Error, Function, Symbol, JSON, Reflect, Object];
      for (let c = 0; c < classes.length; c++) {
        for (const O of [classes[c].prototype, classes[c]]) {
          if (O === undefined || O === Array.prototype) continue;
          const keys = keysOf(O);
          for (let i = 0; i < keys.length; i++) if (keys[i] !== 'constructor') try { O[keys[i]] = () => { throw 'met' } } catch {}
        }
      }
      const met = () => { throw 'met' };
      for (let i = 0; i < 3; i++) define(Array.prototype, i, { set: met, get: met });
      const fields = ['get', 'set', 'depth', 'length', 'enumerable', 'writable'];
      for (let i = 0; i < 6; i++) define(Object.prototype, fields[i], { __proto__: null, get: met, set: met, configurable: true });
      globalThis.parseFloat = globalThis.Uint8Array = null; 0`);
    const code =
      "console.log('%s %o', 1, [1]); console.log({ a: [1, 'x', null], b: { c: 1n } }, new ArrayBuffer(2), -1.5); console.table([[1]]); console.table([2]);" +
      "const f = () => 1; define(f, 'prototype', { __proto__: null, get() {}, configurable: true }); console.log(f)";
    expect(await printed(code)).toBe(
      [
        "1 [ 1, [length]: 1 ]",
        "{ a: [ 1, 'x', null ], b: { c: 1n } } ArrayBuffer { [Uint8Contents]: <00 00>, byteLength: 2 } -1.5",
        "┌─────────┬───┐\n│ (index) │ 0 │\n├─────────┼───┤\n│ 0       │ 1 │\n└─────────┴───┘",
        "┌─────────┬────────┐\n│ (index) │ Values │\n├─────────┼────────┤\n│ 0       │ 2      │\n└─────────┴────────┘",
        "[Function: f]",
      ].join("\n"),
    );
  });

  it.each([
    ["a long string", "'x'.repeat(1e7)"],
    ["a wide object", "Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => ['k' + i, 'v'.repeat(100)]))"],
    ["a large array", "new Array(1e6).fill('x')"],
    ["a sparse array", "Object.assign(new Array(4e9), { 3999999999: 1 })"],
    [
      "a bushy tree",
      "(function tree(d) { return d ? Array.from({ length: 60 }, () => tree(d - 1)) : 'x'.repeat(99) })(3)",
    ],
    ["a deep list", "(() => { let l = null; for (let i = 0; i < 1e5; i++) l = { l }; return l })()"],
    [
      "a long chain of prototypes",
      "(() => { let o = null; for (let i = 0; i < 1e5; i++) o = Object.create(o); return o })()",
    ],
    ["a large map", "new Map(Array.from({ length: 1e5 }, (_, i) => [i, { i }]))"],
    [
      "a long chain of causes",
      "(() => { let e; for (let i = 0; i < 1e4; i++) e = new Error('x', { cause: e }); return e })()",
    ],
    ["a long number", "2n ** 1000000n"],
  ])("bounds %s", async (_what, code) => {
    await session.execute(`var big = ${code}; 0`);
    const statement = "console.log(big); console.log('%o', big); console.dir(big, { depth: null }); console.table(big)";
    const { console } = await session.execute(`{${statement}}`).execution();
    for (const { text } of console) expect(text.length).toBeLessThanOrEqual(65_536);
    expect(console).toHaveLength(4);
  });
});
