import { GuestError, Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

describe.each([
  { name: "a session that stays on its worker", rotateWorkers: false },
  { name: "a session that changes its worker with every turn", rotateWorkers: true },
])("frames are where the caller wrote the code, in $name", ({ rotateWorkers }) => {
  let server: RunningServer;
  let client: Livescope;
  let session: Session;

  beforeAll(async () => {
    server = await startServer({ rotateWorkers });
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

  /** Places of an error's frames in files that have a name, innermost first. */
  async function places(execution: PromiseLike<unknown>): Promise<string[]> {
    const error = await Promise.resolve(execution).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    return (error as GuestError).frames.map(({ filename, line, column }) => `${filename}:${line}:${column}`);
  }

  /** The caller's place of the `^` in a source, which is then taken out. */
  function marked(text: string): { code: string; place: string } {
    const at = text.indexOf("^");
    const before = text.slice(0, at);
    const place = `${before.split("\n").length}:${at - before.lastIndexOf("\n")}`;
    return { code: before + text.slice(at + 1), place };
  }

  test.each([
    "^nope",
    "let a; ^nope",
    "let a, b = ^nope",
    "let a, b, c\n^nope",
    "const a = 1, b = 2; let c; ^nope",
    "class A {} ^nope",
    "class A { static x = ^nope }",
    "class A {\n static x = ^nope\n}; let y",
    "let x; if (x) {} else { let y; ^nope }",
    "for await (const { a = ^nope } of [{}]) { a }",
    "let a; for await (const [\n  b = await 1,\n  { c = ^nope }] of [[1, {}]]) {\n}",
    "for await (const [a = 1] of [[], 2]) {\n  if (a) for await ([a.b = ^nope] of [[]]) { a }\n}",
    "for await (const { a = (() => 1)() } of [{}]) { ^nope }",
    "let a = {}; for await (a[1, ^nope] of [1]) {}",
    "for await (const { a = ^nope } of [{}]) a",
    "for await (const { a = 1 } of [^nope]) {}",
    "try { await Promise.reject([]) } catch ([a = 1,\n b = ^nope]) { a }",
    "try { await Promise.reject([]) } catch ([a = 1]) { ^nope }",
    "let a = {}; for await (a['😀'] of [1, ^nope]) a",
    "let a = {};\nfor await (a[^nope] of\n ([1]) /* ) */ // )\n )await a",
    "'😀'; ^nope",
    "let s = '😀'; let t; '😀' + ^nope",
    "'é中'; ^nope",
    "let a;\r\nlet b; ^nope",
    "#!/usr/bin/env js\nlet a; ^nope",
  ])("%s", async (text) => {
    const { code, place } = marked(text);
    const [innermost] = await places(session.execute(code, { filename: "mine.js" }));
    expect(innermost).toBe(`mine.js:${place}`);
  });

  test.each([
    "x; ^nope",
    "let x = 2; ^nope",
    "'use strict'; let y; x = ^nope",
    "\nvar x; ^nope",
    "let y; class x {} ^nope",
    "x^()",
    "0; x ^()",
    "let y\n x?.^(1)",
    "parseInt('1'); parseInt?.(^nope)",
  ])("with bindings: %s", async (text) => {
    const { code, place } = marked(text);
    const bindings = { x: 1 };
    expect(await places(session.execute(code, { filename: "mine.js", bindings }))).toEqual([`mine.js:${place}`]);
  });

  test("functions keep theirs when the execution that made them is long over", async () => {
    const { code, place } = marked("let a, b; function f() { ^nope }");
    await session.execute(code, { filename: "first.js" });
    await session.execute("let a; function g() { f() }", { filename: "first.js" });
    await session.execute("class Other { static n = 1 }", { filename: "first.js" });
    expect(await places(session.call("g"))).toEqual([`first.js:${place}`, "first.js:1:24"]);
  });

  test.each(["let a; ^)", "let s = '😀', ^)", "x ^)"])("of a source that does not parse: %s", async (text) => {
    const { code, place } = marked(text);
    const failure = await session.execute(code, { filename: "mine.js" }).catch((error) => error);
    expect(failure).toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    expect(await places(session.execute(code, { filename: "mine.js" }))).toEqual([`mine.js:${place}`]);
  });

  test("a stack that guest code prints has them too", async () => {
    const { console: plain } = await session.execute("/**** **/ console.log(new Error('x').stack)").execution();
    const { console } = await session.execute("let a, b; console.log(new Error('x').stack)").execution();
    expect(plain[0]?.text).toContain("script.js:1:");
    expect(console[0]?.text).toBe(plain[0]?.text);
  });

  test("how the kernel calls guest code is no frame, also between two of the guest's", async () => {
    await session.execute("function* g() { console.trace(); throw new Error() }");
    const failure = await session.execute("for await (const x of g()) {}").catch((thrown: unknown) => thrown);
    const names = (failure as GuestError).frames.map(({ functionName }) => functionName);
    expect(names).toEqual(["g", "next", "next", ""]);
    const { console } = await session.execute("try { for await (const x of g()); } catch {}").execution();
    expect(console[0]?.text).toMatch(
      /^Trace\n {4}at g .*\n {4}at next \(native\)\n {4}at next \(native\)\n {4}at <eval> .*$/,
    );
  });

  test("how the kernel constructs and calls is in no stack of an error that is a value", async () => {
    await session.execute(
      "let made; class C { constructor() { made = new Error() } } const make = () => new Error(), Made = C",
    );
    await using _ = await (await session.handle("Made")).construct();
    const errors = [await session.execute<Error>("made"), await session.call<Error>("make")];
    for (const { stack } of errors) expect(stack).not.toContain("(native)");
  });

  test("errors that are values have them in their stacks", async () => {
    const { code, place } = marked("let a; const made = new Error^('m', { cause: 1 }); [made, { made }]");
    const [error] = await session.execute<[Error]>(code);
    expect(error.stack).toBe(`Error: m\n    at <eval> (script.js:${place})`);
  });

  test.each([
    ["locals.with({}, function inner() { return [1].map(made)[0] })", ["made", "map", "inner", "<eval>"]],
    ["new AsyncContext.Snapshot().run(made)", ["made", "<eval>"]],
    [
      "await (async () => { for await (const e of (function* each() { yield made() })()) return e })()",
      ["made", "each", "next", "next", "<anonymous>", "<eval>"],
    ],
    ["await Promise.try(made)", ["made", "try", "<eval>"]],
  ])("between them nothing tells how the kernel calls guest code: %s", async (code, names) => {
    const namesIn = (stack = "") => Array.from(stack.matchAll(/^ {4}at (\S+)/gm), ([, name]) => name);
    await session.execute("const made = function made() { return new Error('m') }");
    const { console } = await session.execute(`const kept = ${code}; console.log(kept)`).execution();
    expect(namesIn(console[0]?.text)).toEqual(names);
    expect(namesIn((await session.execute<Error>("kept")).stack)).toEqual(names);
    const error = (await session.execute("throw kept").catch((thrown) => thrown)) as GuestError;
    expect(namesIn(error.guestStack)).toEqual(names);
  });

  test("stacks are text with the same places, causes included", async () => {
    const plain = "throw new Error('outer', { cause: new Error('inner') })";
    const shape = async (code: string) => {
      const error = (await session.execute(code).catch((thrown) => thrown)) as GuestError;
      const { frames, guestStack, cause } = error;
      return JSON.stringify([frames, guestStack, cause?.frames, cause?.guestStack]);
    };
    expect(await shape(`class A {}\n${plain}`)).toBe(await shape(`\n${plain}`));
    expect(await shape(`let a, b; ${plain}`)).toBe(await shape(`/**** **/ ${plain}`));
  });
});
