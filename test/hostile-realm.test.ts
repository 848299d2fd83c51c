import { readFileSync } from "node:fs";
import { ExecutionError, type Session } from "@livescope/sdk";
import { getQuickJS } from "quickjs-emscripten";
import { beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  return () => session.delete();
});

describe("guest code that attacks its own session", () => {
  test("reads nothing of the contexts that its sources hold, and makes none", async () => {
    const facts = await session.execute(`
      const key = "$live" + "scope$c";
      let caught;
      const trap = new Proxy({}, {
        has: (_, name) => name === key,
        get: (target, name) => (name === Symbol.unscopables ? undefined : target[name]),
        set: (target, name, value) => { target[name] = caught = value; return true },
      });
      const generator = (async function* () { with (trap) { yield 1; yield 2 } })();
      for (let i = 0; i < 3; i++) await generator.next();
      const prototype = Object.getPrototypeOf(caught);
      [typeof caught, Reflect.ownKeys(caught), Reflect.ownKeys(prototype), Object.getPrototypeOf(prototype), Object.isFrozen(prototype)]`);
    expect(facts).toEqual(["object", [], [], null, true]);
  });

  test.each([
    [
      "Number",
      "globalThis.Number = () => { throw new Error('guest') }; await new Promise((ok) => setTimeout(() => ok(1), 1))",
    ],
    ["Object.prototype.get", "Object.prototype.get = () => 1; locals.user"],
  ])("does not break the kernel by replacing %s", async (_what, code) => {
    expect(await session.execute(code, { locals: { user: 1 } })).toBe(1);
  });

  test("is asked for none of its global names when its values are looked at, and goes on without them", async () => {
    await session.execute(`
      const values = { text: "a\\nb", map: new Map([[1, new Date(0)]]), error: new Error("e"), list: [1.5, -0, 2n, , Symbol("s")] };
      const { log } = console, { defineProperty, getOwnPropertyNames } = Object, realm = globalThis;
      const asked = [];
      for (const name of getOwnPropertyNames(realm)) {
        if (["values", "log", "defineProperty", "getOwnPropertyNames", "realm", "asked"].includes(name)) continue;
        const get = () => { asked[asked.length] = name; throw "asked for " + name };
        try { defineProperty(realm, name, { get, configurable: true }) } catch {}
      }
      0`);
    expect((await session.inspect("values")).properties.map(({ name }) => name)).toEqual([
      "text",
      "map",
      "error",
      "list",
    ]);
    const { console } = await session
      .execute('log("%s %d %i %f %j %o", "s", "7", {}, "1.5x", values.text, values)')
      .execution();
    expect(console[0]?.text).toMatch(/^s 7 NaN 1.5 "a\\nb" {/);
    expect((await session.handle("values")).preview).toContain("map: Map(1)");
    expect(await session.execute("values.map")).toEqual(new Map([[1, new Date(0)]]));
    await expect(session.execute("null.x")).rejects.toMatchObject({ guestName: "TypeError" });
    expect(await session.execute("asked")).toEqual([]);
  });

  test.each([
    ["another object", "globalThis = {}"],
    ["a number", "globalThis = 1"],
    ["a getter that throws", "Object.defineProperty(globalThis, 'globalThis', { get() { throw new Error('asked') } })"],
  ])("is given functions, templates and the platform where it makes %s of the name globalThis", async (_what, code) => {
    await session.execute(`${code}; var shadowed = 2`);
    await session.expose({ twice: (n: number) => n * 2 });
    expect(await session.execute("await twice(2)")).toBe(4);
    const { value, warnings } = await session.render("{{ shadowed }}{% set shadowed = 3 %}{{ shadowed }}").execution();
    expect([value, warnings.length]).toEqual(["23", 1]);
    expect(await session.execute("URL = 5; [URL, typeof setTimeout]")).toEqual([5, "function"]);
  });

  test.each([
    ["has no Symbol any more", "delete globalThis.Symbol"],
    ["has no Promise any more", "delete globalThis.Promise"],
    [
      "has a Promise of its own",
      "globalThis.Promise = class extends Promise { constructor(start) { super(start); made++ } }",
    ],
  ])("loops over what it awaits where it %s", async (_what, code) => {
    await session.execute(
      `var made = 0; const three = Promise.resolve(3); function* all() { yield three; yield 4 } ${code}`,
    );
    expect(await session.execute("let sum = 0; for await (const n of all()) { sum += n; break } sum")).toBe(3);
    expect(await session.execute("for await (const n of [4, 5]) sum += n; sum")).toBe(12);
    const stream = session.stream("(async function* () { yield* [1] })()");
    expect(await stream.next()).toEqual({ done: false, value: 1 });
    expect(await session.execute("made")).toBe(0);
  });

  test("has its generator run where every object has a method then", async () => {
    await session.execute("Object.prototype.then = () => undefined");
    const stream = session.stream("(function* () { yield 1; return 2 })()");
    expect([await stream.next(), await stream.next()]).toEqual([
      { done: false, value: 1 },
      { done: true, value: 2 },
    ]);
  });

  test("gets the parts of a promise where every object has a getter", async () => {
    await session.execute("Object.prototype.get = () => 1");
    expect(await session.execute("const { promise, resolve } = Promise.withResolvers(); resolve(7); promise")).toBe(7);
  });

  test.each(["Array.prototype", "Object.prototype"])("shows nothing to setters of indices on %s", async (prototype) => {
    await session.execute(`
      const set = () => { throw new Error("seen") };
      for (const index of [0, 1, 2]) Object.defineProperty(${prototype}, index, { set, configurable: true });
      const value = { a: [{ b: "c" }] };`);
    expect(await session.execute("value")).toEqual({ a: [{ b: "c" }] });
    const thrown = { thrown: { a: [{ b: "c" }] } };
    await expect(session.execute("throw value")).rejects.toMatchObject(thrown);
    await expect(session.execute("(async () => { throw value })()")).rejects.toMatchObject(thrown);
    const stream = session.stream("(function* () { yield value })()");
    expect(await stream.next()).toEqual({ done: false, value: { a: [{ b: "c" }] } });
  });

  test("keeps its locals in a promise whose own constructor and then the engine asks", async () => {
    const code = `
      let seen;
      const promise = Promise.resolve();
      promise.constructor = undefined;
      promise.then = (ok) => { seen = locals.user; ok() };
      await promise;
      seen`;
    expect(await session.execute(code, { locals: { user: "ann" } })).toBe("ann");
  });

  const THROWS = "'constructor', { get() { throw new RangeError('asked') } })";

  test.each([
    ["of its own", `const promise = Promise.resolve(1); Object.defineProperty(promise, ${THROWS}; promise`],
    ["of all promises", `Object.defineProperty(Promise.prototype, ${THROWS}; Promise.resolve(1)`],
  ])("is told that its promise cannot be awaited, where it has a constructor %s that throws", async (_whose, code) => {
    await expect(session.execute(code)).rejects.toMatchObject({
      phase: "REJECTION",
      guestName: "RangeError",
      message: "asked",
    });
  });

  const constructorIs = (body: string): string =>
    `let asked = 0; const Native = Promise; Object.defineProperty(Promise.prototype, "constructor", { get() { ${body} } })`;

  test("has its promise awaited where its constructor throws when it is asked again", async () => {
    await session.execute(constructorIs("if (asked++ > 0) throw new RangeError('asked'); return Native"));
    expect(await session.execute("asked = 0; Promise.resolve(1)")).toBe(1);
  });

  test("is told once that its promise cannot be awaited, where its constructor is no function", async () => {
    await session.execute(constructorIs("return 5"));
    const told = { phase: "REJECTION", guestName: "TypeError", warnings: [] };
    await expect(session.execute("Promise.resolve(1)")).rejects.toMatchObject(told);
  });

  test.each(["(async function* () { yield 1; return 2 })()", "(function* () { yield 1; return 2 })()"])(
    "has its generator run where promises have no constructor that can be asked for: %s",
    async (code) => {
      await session.execute(`Object.defineProperty(Promise.prototype, ${THROWS}`);
      const stream = session.stream(code);
      expect([await stream.next(), await stream.next()]).toEqual([
        { done: false, value: 1 },
        { done: true, value: 2 },
      ]);
    },
  );

  test.each([
    ["in parentheses", "async function* g() { yield* ([1, 2]) }"],
    ["of a sequence", "async function* g() { yield* (0, [1, 2]) }"],
    ["on a line of its own", "async function* g() { yield*\n[1, 2] }"],
  ])("delegates to what stands %s", async (_where, source) => {
    expect(
      await session.execute(`${source}; const all = []; for await (const each of g()) all.push(each); all`),
    ).toEqual([1, 2]);
  });
});

const guestCode = (name: string): string =>
  readFileSync(new URL(`./support/guest/${name}.js`, import.meta.url), "utf8");

describe("the realm", () => {
  /** What the kernel adds and no other platform has. Of all that it shares with others, Node has the members too. */
  const OWN = new Set(
    [
      ["locals", "get locals", "locals.__proto__", "locals.__proto__.with", "Locals", "get Locals", "emit", "get emit"],
      // Of the web platform, and not of this Node.
      ["reportError", "get reportError", "set Event.prototype.returnValue"],
      ["AsyncContext", "get AsyncContext", "AsyncContext.Variable", "AsyncContext.Variable.prototype"],
      ["AsyncContext.Variable.prototype.run", "AsyncContext.Variable.prototype.get"],
      ["get AsyncContext.Variable.prototype.name", "AsyncContext.Snapshot", "AsyncContext.Snapshot.prototype"],
      ["AsyncContext.Snapshot.wrap", "AsyncContext.Snapshot.prototype.run"],
    ].flat(),
  );

  /** True where Node has something at a path, such as "get URL.prototype.href". */
  function isOfNode(path: string): boolean {
    const [, accessor, names = ""] = /^(get |set )?(.*)$/.exec(path) ?? [];
    let value: unknown = globalThis;
    const steps = names.split(".");
    for (const [i, step] of steps.entries()) {
      if (value === undefined || value === null) return false;
      const descriptor = Object.getOwnPropertyDescriptor(value, step);
      if (descriptor === undefined) return false;
      // Names that are loaded when they are first used are accessors of the global object; all else is as in Node.
      if (i === steps.length - 1 && accessor !== undefined && i > 0)
        return descriptor[accessor.trim() as "get"] !== undefined;
      value = i === 0 ? Reflect.get(globalThis, step) : descriptor.value;
    }
    return true;
  }

  test("has nothing that guest code could reach but what the engine, Node, or the documentation has by that name", async () => {
    const engines = new Set((await getQuickJS()).evalCode(guestCode("walk-realm")) as string[]);
    const here = await session.execute<string[]>(guestCode("walk-realm"));
    expect(engines.size).toBeGreaterThan(500);
    expect(here.length).toBeGreaterThan(700);
    const more = here.filter((each) => !engines.has(each)).map((each) => each.slice(2));
    expect(more.filter((path) => !OWN.has(path) && !isOfNode(path))).toEqual([]);
    // Taken away on purpose, and nothing else.
    const less = [...engines].filter((each) => !here.includes(each));
    expect(less.filter((each) => !each.includes("SharedArrayBuffer"))).toEqual([]);
  });

  /** Programs that make the kernel, the engine and the platform work for guest code in each of their ways. */
  const PROGRAMS: Readonly<Record<string, string>> = {
    awaits: "await 1; await Promise.resolve(2); await { then(ok) { ok(1) } }; 3",
    timers: "await new Promise((ok) => { setTimeout(ok, 1, {}); const id = setInterval(() => clearInterval(id), 1) })",
    console:
      "console.log({ a: [new Map([[1, {}]])] }, new Error('x'), class A {}); console.table([{ a: 1 }]); console.trace()",
    values:
      "({ m: new Map([[1, new Set([2])]]), d: new Date(0), e: new Error('x', { cause: {} }), f() {}, u: undefined })",
    "plain data": "({ a: [1, { b: null }], c: 'x' })",
    errors: "throw Object.assign(new RangeError('x', { cause: { a: 1 } }), { extra: {} })",
    rejections: "Promise.reject(new Error('nobody')); reportError(new Error('r'))",
    locals:
      "await locals.with({ a: 1 }, async () => { await 1; return locals.a }); new Locals().with({ x: {} }, () => 1)",
    contexts: "new AsyncContext.Variable().run(1, () => AsyncContext.Snapshot.wrap(() => 1)())",
    clones: "structuredClone({ a: new Map([[1, [2]]]) })",
    platform:
      "try { new URL('http://ä.example/?a=1').search; new TextDecoder().decode(new TextEncoder().encode('ä')) } catch {}",
    events:
      "try { const t = new EventTarget(); t.addEventListener('x', () => {}); t.dispatchEvent(new Event('x')) } catch {}",
    crypto: "crypto.randomUUID(); crypto.getRandomValues(new Uint8Array(4)); Math.random()",
    jobs: "queueMicrotask(() => {}); performance.now(); atob(btoa('x'))",
    generators: "async function* g() { yield 1; yield* [2] } for await (const x of g()); (function* () { yield {} })()",
    emitting: "await emit({ a: 1 }); await emit([1])",
    "host functions": "await host({ a: 1 }, () => 1); await host().catch(() => 1)",
    declarations: "let a1 = {}; const a2 = 2; class A3 {}; var a4 = 4; function a5() {} a1",
    imports: "const { one } = await import('m.js'); one",
    deadlock: "new Promise(() => {})",
    syntax: "let x = ;",
    evals: "eval('(async () => { await 1 })()'); new Function('return 1')()",
    proxies: "const p = new Proxy(function () {}, {}); console.log(p); [p, Proxy.revocable({}, {}).proxy]",
  };
  /** Names that descriptors, iterators, promises and the kernel's own records have: Object.prototype answers for them. */
  const TRAPS =
    "value get set then done next return throw writable enumerable configurable cause execution number options context isOpen " +
    "isDead key bindings raw index input groups caller callee id due order place interval callback args kind text level promise " +
    "resolve reject errors detail signal once source filename positions encoding group handle credit current begun";
  /** Callbacks and records of the platform's own library, which uses the realm as it finds it (guest.md). */
  const PLATFORM = /^(?:set |get )?(?:Array|TypedArray|Map|Set|String|RegExp|Object|AsyncContext|Snapshot)\b/;

  test.each(Object.keys(PROGRAMS))(
    "shows hooks in all that guest code can replace nothing of the kernel's: %s",
    async (name) => {
      const { client } = served;
      await using hooked = await client.createSession({ modules: { "m.js": "export const one = {}" } });
      await using _ = await hooked.expose({ host: (given: unknown) => ({ given }) });
      await hooked.execute(guestCode("hook-realm"));
      await hooked.execute(`$hooks.start(${JSON.stringify(TRAPS.split(" "))}, 20)`);
      const stream = hooked.stream(PROGRAMS[name] as string, { locals: { user: {} }, bindings: { bound: { a: 1 } } });
      try {
        while ((await stream.next()).done !== true);
      } catch (error) {
        // What it makes of the hooks is its own affair, as long as it is an outcome.
        expect(error).toBeInstanceOf(ExecutionError);
      }
      const lines = (await hooked.execute<string>("$hooks.told()")).trim().split("\n").filter(Boolean);
      // None of the kernel's records, contexts and shared cells, which hold 157 words.
      expect(lines.filter((line) => /isOpen|isDead|#|without prototype|of 628 bytes/.test(line))).toEqual([]);
      const functions = lines.filter((line) => line.includes("-> function "));
      expect(
        functions.filter((line) => !PLATFORM.test(line) && !/function (?:revoke|wrapped|A|p|)$/.test(line)),
      ).toEqual([]);
    },
  );
});
