import { GuestError, InvalidRequestError, Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

describe("a script behaves as at a console", () => {
  let server: RunningServer;
  let client: Livescope;
  let session: Session;

  beforeAll(async () => {
    server = await startServer();
    client = await Livescope.connect(server.address);
  });
  afterAll(async () => {
    await client.close();
    await server.close();
  });
  beforeEach(async () => {
    session = await client.createSession();
    return () => session.delete();
  });

  async function failureOf(code: string, options = {}): Promise<GuestError> {
    const error = await session.execute(code, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    return error as GuestError;
  }

  describe("the result is the completion value", () => {
    test.each([
      ["1; 2", 2],
      ["1; let a = 2", 1],
      ["1; var a = 2", 1],
      ["1; const a = 2", 1],
      ["1; class A {}", 1],
      ["1; function f() {}", 1],
      ["1;;;", 1],
      ["if (true) 1; else 2", 1],
      ["1; if (false) 2", undefined],
      ["for (let i = 0; i < 3; i++) i", 2],
      ["for (const x of [1, 2]) x * 2", 4],
      ["let n = 0; while (n < 5) n++", 4],
      ["switch (1) { case 1: 'one' }", "one"],
      ["try { 1 } finally { 2 }", 1],
      ["try { throw 1 } catch (e) { e + 1 }", 2],
      ["{ 1; { 2 } }", 2],
      ["label: { 1; break label; }", 1],
      ["await 1; 2", 2],
      ["let b = await 3; b", 3],
      ["await Promise.resolve(4)", 4],
      ["if (await true) { 5 }", 5],
      ["'use strict'; 6", 6],
      ["", undefined],
      ["// nothing", undefined],
      ["var { c } = { c: 7 }; c", 7],
      ["x = 8", 8],
    ])("%s", async (code, value) => {
      expect(await session.execute(code)).toEqual(value);
    });
  });

  describe("names may be declared again, as anything", () => {
    const forms: Record<string, (n: number) => string> = {
      let: (n) => `let v = ${n}`,
      const: (n) => `const v = ${n}`,
      var: (n) => `var v = ${n}`,
      class: (n) => `class v { static valueOf() { return ${n} } }`,
      function: (n) => `function v() {} v.valueOf = () => ${n}`,
      pattern: (n) => `const { v } = { v: ${n} }`,
    };
    const pairs = Object.keys(forms).flatMap((first) => Object.keys(forms).map((second) => [first, second] as const));
    test.each(pairs)("%s, then %s", async (first, second) => {
      await session.execute(forms[first]?.(1) ?? "");
      await session.execute("var read = () => v + 0");
      expect(await session.execute(`${forms[second]?.(2)}; read()`)).toBe(2);
    });
  });

  test("a declaration without a value begins anew", async () => {
    await session.execute("let v = 1");
    expect(await session.execute("let v; v")).toBeUndefined();
  });

  test.each([
    ["let last\n(1)", 1],
    ["let last\n[1, 2].length", 2],
    ["let last // none\n`text`", "text"],
    ["let first, last\n/a/.source", "a"],
  ])("a declaration without a value ends where its line does: %s", async (code, result) => {
    expect(await session.execute(code)).toBe(result);
  });

  test.each([
    ["class A {}class B {}typeof B", "function"],
    ["class A {}await 2", 2],
    ["class A {}try { await 3 } finally {}", 3],
  ])("what follows a class need not stand apart from it: %s", async (code, result) => {
    expect(await session.execute(code)).toBe(result);
  });

  test.each([
    ["let f = 1; { function f() {} } f", 1],
    ["const f = 1; { (() => f)(); function f() {} } f", 1],
    ["const f = 1; { { function f() {} function f() {} typeof f }}", "function"],
    ["class f { static x = 2 } try { throw 0 } catch { await 1; function f() {} } finally { function f() {} } f.x", 2],
    ["let f = 3; if (true) function f() {} else function f() {}\nf", 3],
    ["let f = 4; for await (const x of [1]) { function f() {} }f", 4],
    ["const f = 5; for await (const x of [1]) { for await (const y of [1]) if (y) function f() {} }f", 5],
    ["let f = 6; all: switch (1) { case 1: function f() {} f(); break all }f", 6],
    ["let f = 7; switch (f) { case 7: function g() {} typeof g }", "function"],
    ["let f = 1; function g() { { function f() {} } return typeof f } g()", "function"],
    ["{ function f() {} } typeof f", "function"],
  ])("a function of a block is none of the source that declares its name otherwise: %s", async (code, result) => {
    expect(await session.execute(code)).toBe(result);
    expect(await session.execute(code, { bindings: { bound: 1 } })).toBe(result);
  });

  test.each([
    ["function f(await) { return await } f(4)", 4],
    ["const f = async () => await 5; function await() {} f()", 5],
    ["let n = 7; // await\n(function () { const await = n; return await })()", 7],
    ["class await { static n = 8 } (() => await.n)()", 8],
  ])("`await` is a name in the functions of a source that awaits nothing itself: %s", async (code, result) => {
    expect(await session.execute(code)).toBe(result);
  });

  test.each(["await 1; var await", "await 1; (await) => 1", "(async () => { var await })()"])(
    "and in one that does it is none: %s",
    async (code) => {
      expect(await failureOf(code)).toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    },
  );

  test("within one source the language's rules hold, and then nothing is declared", async () => {
    expect(await failureOf("let a = 1; let a = 2")).toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    expect(await session.execute("typeof a")).toBe("undefined");
  });

  test("a new name cannot be read before its declaration, nor after one that threw", async () => {
    expect(await failureOf("early; let early = 1")).toMatchObject({ guestName: "ReferenceError" });
    expect(await session.execute("early = 2; let late = early; late")).toBe(2);
    for (const kind of ["let", "const"]) {
      await failureOf(`${kind} ${kind}Name = (() => { throw 1 })()`);
      expect((await failureOf(`${kind}Name`)).message).toBe(`Cannot access '${kind}Name' before initialization`);
      expect(await session.execute(`Object.keys(globalThis).includes('${kind}Name')`)).toBe(false);
      expect(await session.execute(`${kind} ${kind}Name = 3; ${kind}Name`)).toBe(3);
    }
  });

  test.each([
    "const k = (() => { throw 1 })()",
    "await 1; const k = (() => { throw 1 })()",
    "for (const one of [1]) await one; throw 1; const k = 2",
  ])("a constant whose new initialiser threw is constant still: %s", async (code) => {
    await session.execute("const k = 1");
    await expect(session.execute(code)).rejects.toThrow("1");
    await expect(session.execute("k = 2")).rejects.toThrow("Assignment to constant variable 'k'");
    expect(await session.execute("k")).toBe(1);
    expect(await session.execute("await 1; for (const one of [1]) await one; const k = 3; k")).toBe(3);
  });

  test("a name that is declared again keeps its value until the new one is there", async () => {
    await session.execute("let n = 1; const K = 10");
    expect(await session.execute("let n = n + 1; const K = K + 1; [n, K]")).toEqual([2, 11]);
    await failureOf("let n = (() => { throw 1 })()");
    await failureOf("const K = (() => { throw 1 })()");
    expect(await session.execute("[n, K]")).toEqual([2, 11]);
  });

  /** With it whatever waits may still be settled. */
  const STILL_TO_COME = "setTimeout(() => 0, 3_600_000)";

  test.each([
    ["const", "{ n }"],
    ["let", "{ n }"],
    ["class", "class { static n = n }"],
  ])("a name that two declare who wait for its value is of whoever comes last: %s", async (kind, value) => {
    await session.execute(STILL_TO_COME);
    const run = (n: number): PromiseLike<number> => {
      const made = `(await new Promise((go) => { globalThis.go${n} = () => go(((n) => (${value}))(${n})) }))`;
      return session.execute(`${kind === "class" ? `class a extends ${made} {}` : `${kind} a = ${made}`}; a.n`);
    };
    // In both orders, and again when the name is there.
    for (const [first, last] of [
      [1, 2],
      [2, 1],
      [1, 2],
      [2, 1],
    ] as const) {
      const value = { 1: run(1), 2: run(2) };
      await session.execute("while (!globalThis.go1 || !globalThis.go2) await new Promise((go) => setTimeout(go, 1))");
      await session.execute(`go${first}(); await 1`);
      expect(await value[first]).toBe(first);
      await session.execute(`go${last}(); await 1`);
      expect(await value[last]).toBe(last);
      expect(await session.execute("go1 = go2 = undefined; a.n")).toBe(last);
    }
    if (kind === "const") expect(await failureOf("a = 3")).toMatchObject({ guestName: "TypeError" });
  });

  test("a constant that many declared who never gave it a value is constant, and can be declared", async () => {
    await session.execute(STILL_TO_COME);
    const waits = session.execute("const a = await new Promise((resolve) => { globalThis.go = () => resolve(5) }); a");
    for (let i = 0; i < 300; i++) await failureOf(`throw 1; const a = ${i}`);
    expect(await session.execute("const a = 4; a")).toBe(4);
    expect(await failureOf("a = 3")).toMatchObject({ guestName: "TypeError" });
    await session.execute("go()");
    expect([await waits, await session.execute("a")]).toEqual([5, 5]);
  });

  test("a constant cannot be assigned, from anywhere", async () => {
    await session.execute("const K = 1; function set() { K = 2 }");
    for (const code of ["K = 2", "set()", "K++", "[K] = [2]", "for (K of [2]) {}", "'use strict'; K = 2"]) {
      expect(await failureOf(code)).toMatchObject({ guestName: "TypeError" });
    }
    expect(await session.execute("K")).toBe(1);
    expect(await failureOf("const x = 5; x = 6", { bindings: { x: 1 } })).toMatchObject({ guestName: "TypeError" });
    await session.execute("const x = 5, { L } = { L: x }", { bindings: { x: 1 } });
    expect(await failureOf("L = 6")).toMatchObject({ guestName: "TypeError" });
    expect(await session.execute("const x = 5, L = L + x; L", { bindings: { x: 1 } })).toBe(10);
  });

  test.each(["undefined", "NaN", "Infinity"])("what nobody may change cannot be declared: %s", async (name) => {
    expect((await failureOf(`let ${name} = 1`)).message).toBe(`Identifier '${name}' has already been declared`);
  });

  test("names of globals can, and deleting them leaves the session working", async () => {
    expect(await session.execute("let JSON = 1, Object = 2, Promise = 3, console = 4; JSON + Object")).toBe(3);
    expect(await session.execute("let fresh = 5; fresh")).toBe(5);
  });

  describe("bindings", () => {
    test("stand before globals, and leave them alone", async () => {
      const bindings = { JSON: "mine", undefined: 1 };
      await session.execute("var keep = JSON");
      expect(await session.execute("JSON", { bindings: { JSON: "mine" } })).toBe("mine");
      expect(await session.execute("JSON === keep")).toBe(true);
      expect(await session.execute("JSON", { bindings })).toBe("mine");
    });

    test("stand before the source's own names, in every form", async () => {
      const bindings = { x: 1 };
      expect(await session.execute("var x; x", { bindings })).toBe(1);
      expect(await session.execute("for (var x of [2, 3]) {} x", { bindings })).toBe(3);
      expect(await session.execute("var { x, y } = { x: 4, y: 5 }; x + y", { bindings })).toBe(9);
      expect(await session.execute("function x() { return 6 } x()", { bindings })).toBe(6);
      expect(await session.execute("class x { static y = 7 } x.y", { bindings })).toBe(7);
      expect(await session.execute("x = 8; (() => x)()", { bindings })).toBe(8);
      expect(await session.execute("typeof x + y")).toBe("undefined5");
    });

    test.each([
      ["let x\n[x].length", 1],
      ["const x = () => { return 2 }\n[x()].length", 1],
      ["let x, y; [x, y]", [1, undefined]],
      ["let y, x = 2; [x, y]", [2, undefined]],
      ["var x, y; [x, y]", [1, undefined]],
      ["{ var x = 2, y } [x, y]", [2, undefined]],
      ["if (x) { var { x } = { x: 2 } } x", 2],
      ["{ [0]\nvar [x] = [2] } x", 2],
      ["{ var x\n[x][0] }", 1],
      ["for (var x = 0, y; x < 2; x++) y = x; [x, y]", [2, 1]],
      ["for await (var { x, y } of [{ x: 2, y: 3 }]) {} [x, y]", [2, 3]],
      ["for await (var x of [2]) {} x", 2],
      ["for await (var v of [2]) var x = v\nx", 2],
      ["for await (var v of [2]) for (var w of [v]) var x = await w, y = x // both\nvoid 0, [x, y]", [2, 2]],
      ["{ for await (var v of [2]) var x }x", 1],
      ["class A { static { var x = 2 } } x", 1],
    ])("are found where the source declares them without a value, or not at its top: %s", async (code, result) => {
      expect(await session.execute(code, { bindings: { x: 1 } })).toEqual(result);
    });

    test.each([
      ["5; let x = 2", 5],
      ["5; var x", 5],
      ["5; if (x) var x = 2; else var x", undefined],
      ["for (const i of [1, 2]) { i; var x = i }", 2],
      ["5; function x() {}", 5],
      ["class x {}", undefined],
    ])("are declared without a result, as any name is: %s", async (code, result) => {
      expect(await session.execute(code, { bindings: { x: 1 } })).toBe(result);
    });

    test.each(["class", "await", "let", "yield", "eval", "arguments", "null", "enum"])(
      "cannot be named by a reserved word: %s",
      async (name) => {
        const refused = session.execute("1", { bindings: { [name]: 1 } });
        await expect(refused).rejects.toThrow(InvalidRequestError);
        await expect(refused).rejects.toThrow(`bindings[${name}]`);
      },
    );
  });

  test("what guest code makes of Object.prototype changes no answer", async () => {
    await session.execute("Object.prototype.then = function (ok) { ok('forged') }; 1");
    expect(await session.execute("'mine'")).toBe("mine");
    expect(await failureOf("throw new TypeError('mine')")).toMatchObject({ guestName: "TypeError", message: "mine" });
    await session.execute("delete Object.prototype.then; Object.prototype.value = 'forged'; 1");
    expect(await session.execute("let mine = 'mine'; mine")).toBe("mine");
    const setter =
      "Object.defineProperty(Object.prototype, 'value', { __proto__: null, set() {}, configurable: true }); 1";
    await session.execute(setter);
    expect(await session.execute("class A { static mine = 'mine' } A.mine")).toBe("mine");
  });

  test.each(["import a from 'b'", "export const a = 1"])("what is for modules says so: %s", async (code) => {
    const failure = await failureOf(code);
    expect(failure).toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    expect(failure.message).toContain("source_type MODULE");
  });

  test("the phase tells what was parsed from what was run", async () => {
    expect(await failureOf("(")).toMatchObject({ phase: "PARSE" });
    expect(await failureOf("eval('(')")).toMatchObject({ guestName: "SyntaxError", phase: "EVALUATE" });
    expect(await failureOf("await eval('(')")).toMatchObject({ guestName: "SyntaxError", phase: "EVALUATE" });
    expect(await failureOf("await (")).toMatchObject({ phase: "PARSE" });
    expect(
      await failureOf("throw Object.assign(new SyntaxError('x'), { stack: '    at script.js:1:1' })"),
    ).toMatchObject({
      phase: "EVALUATE",
    });
  });

  test("what cannot be parsed to be rewritten never runs", async () => {
    const deep = `globalThis.ran = 1; let x = ${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    expect(await failureOf(deep)).toMatchObject({ phase: "PARSE" });
    expect(await session.execute("typeof ran")).toBe("undefined");
  });
});
