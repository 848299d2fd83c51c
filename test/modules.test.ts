import { GuestError, InvalidRequestError, Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

const sourceType = "module";

describe.each([
  { name: "a session that stays on its worker", rotateWorkers: false },
  { name: "a session that changes its worker with every turn", rotateWorkers: true },
])("modules, in $name", ({ rotateWorkers }) => {
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

  async function failureOf(execution: PromiseLike<unknown>): Promise<GuestError> {
    const error = await Promise.resolve(execution).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    return error as GuestError;
  }

  test.each([
    ["itself", { "a.js": "throw new Error('no')" }],
    ["one that it imports", { "a.js": "import './b.js'", "b.js": "throw new Error('no')" }],
    ["one that it waits for", { "a.js": "import './b.js'; await 1", "b.js": "await 1; throw new Error('no')" }],
    ["itself, which waited for another", { "a.js": "import './b.js'; throw new Error('no')", "b.js": "await 1" }],
  ])("an error of %s is a warning where nobody handles it, and none where somebody does", async (_, modules) => {
    const place = expect.objectContaining({ line: 1 });
    const create = () => client.createSession({ modules });
    await using handling = await create();
    const caught = "try { await import('a.js') } catch {} await import('a.js').catch(({ message }) => message)";
    expect(await handling.execute(caught).execution()).toMatchObject({ value: "no", warnings: [] });
    await using careless = await create();
    const { warnings } = await careless.execute("import('a.js'); 0").execution();
    expect(warnings).toEqual([{ message: expect.stringMatching(/^unhandled rejection.*: Error: no$/), frame: place }]);
    const module = "import './a.js'";
    await using running = await create();
    expect((await failureOf(running.execute(module, { sourceType }))).warnings).toEqual([]);
  });

  test.each([
    ["that somebody could still handle", "const kept = Promise.reject(1); Promise.reject(1).catch(() => {}); 0", 1],
    ["of which none is handled", "Promise.reject(1); Promise.reject(1); 0", 2],
    ["of which the other is handled", "const f = () => Promise.reject(1); f(); try { await f() } catch {} 0", 1],
    ["that a module had failed with", "await import('a.js').catch(() => {}); (() => { Promise.reject(1) })(); 0", 1],
    ["that is undefined", "await import('b.js'); (() => { Promise.reject() })(); 0", 1, "undefined"],
  ])("rejections for the same reason, %s, are warnings of their own", async (_, code, told, reason = "1") => {
    const modules = { "a.js": "throw 1", "b.js": "" };
    const { warnings } = await session.execute(code, { modules }).execution();
    expect(warnings.map(({ message }) => message)).toEqual(Array(told).fill(`unhandled rejection: ${reason}`));
  });

  test("stay in the session under their filename", async () => {
    const code = "export let n = 1; export function inc() { return ++n } export default class {}";
    await using namespace = await session.handle(code, { sourceType, filename: "counter.js" });
    expect(namespace.type).toBe("object");
    expect(await session.execute("(await import('counter.js')).inc()")).toBe(2);
    const seen = "import { n, inc } from './counter.js'; inc(); globalThis.seen = n";
    await session.execute(seen, { sourceType, filename: "main.js" });
    expect(await session.execute("seen === (await import('./counter.js')).n")).toBe(true);
  });

  test("are added by executions and with the session, and imported statically and dynamically", async () => {
    const modules = {
      "lib/a.js": "import { b } from './b.js'; export const a = b + 1",
      "./lib/b.js": "export const b = 1",
    };
    await session.execute("1", { modules });
    expect(await session.execute("(await import('./lib/a.js')).a")).toBe(2);
    await using other = await client.createSession({ modules, setup: "globalThis.late = import('lib/a.js')" });
    expect(await other.execute("(await late).a")).toBe(2);
    expect(await client.execute("(await import('x')).default", { modules: { x: "export default 7" } })).toBe(7);
  });

  test("are evaluated once, whoever imports them", async () => {
    const modules = {
      once: "globalThis.runs = (globalThis.runs ?? 0) + 1; export default {}",
      a: "export { default } from 'once'",
      b: "export { default } from 'once'",
    };
    expect(await session.execute("(await import('a')).default === (await import('b')).default", { modules })).toBe(
      true,
    );
    expect(await session.execute("await import('once'); runs")).toBe(1);
  });

  test("may form cycles", async () => {
    const modules = {
      "even.js": "import { odd } from './odd.js'; export function even(n) { return n === 0 || odd(n - 1) }",
      "odd.js": "import { even } from './even.js'; export function odd(n) { return n !== 0 && even(n - 1) }",
    };
    expect(await session.execute("(await import('even.js')).even(10)", { modules })).toBe(true);
    const self = "import * as self from 'self.js'; export const a = 1; globalThis.found = self.a";
    await session.execute(self, { sourceType, filename: "self.js" });
    expect(await session.execute("found")).toBe(1);
  });

  test("may await at top level", async () => {
    const code = "import { v } from 'slow'; export const w = await Promise.resolve(v + 1); globalThis.w = w";
    const modules = { slow: "export const v = await new Promise((resolve) => resolve(1))" };
    await session.execute(code, { sourceType, modules });
    expect(await session.execute("w")).toBe(2);
  });

  test("are strict, and see the session's names", async () => {
    await session.execute("let total = 1; const K = 2; function f() { return total + K }");
    await session.execute("total = 5; globalThis.result = [f(), this === undefined]", { sourceType });
    expect(await session.execute("result")).toEqual([7, true]);
    expect(await failureOf(session.execute("undeclared = 1", { sourceType }))).toMatchObject({
      guestName: "ReferenceError",
      phase: "EVALUATE",
    });
  });

  test("that are missing are told, with who wanted them and what there is", async () => {
    const modules = { "a.js": "import './b.js'", "b.js": "\n  import './gone.js'", "c.js": "import './a.js'" };
    const failure = await failureOf(session.execute("import './a.js'", { sourceType, filename: "main.js", modules }));
    expect(failure).toMatchObject({ guestName: "ReferenceError", phase: "PARSE" });
    expect(failure.message).toBe(
      "Cannot find module './gone.js' imported from 'b.js'; the session has 'a.js', 'b.js', 'c.js', 'main.js'",
    );
    expect(failure.frames).toMatchObject([{ filename: "b.js", line: 2, column: 10 }]);
    const dynamic = await failureOf(session.execute("await import('nope')", { filename: "typed.js" }));
    expect(dynamic.message).toContain("Cannot find module 'nope' imported from 'typed.js'");
    expect((await failureOf(client.execute("await import('nope')"))).message).toContain("the session has no modules");
  });

  test("that are added after an import missed them are found, also within a cycle", async () => {
    const modules = { a: "import 'b'; export default 'a'", b: "import 'a'; import 'c'" };
    await failureOf(session.execute("await import('a')", { modules }));
    await failureOf(session.execute("await import('b')"));
    expect(await session.execute("(await import('a')).default", { modules: { c: "import 'b'" } })).toBe("a");
  });

  test.each([
    ["export const = 1", "SyntaxError", "main.js:1:14"],
    ["export const a = 1;\nimport { b } from 'other'; )", "SyntaxError", "main.js:2:28"],
    ["import 'broken'", "SyntaxError", "broken:2:1"],
  ])("that do not parse are of phase PARSE: %s", async (code, name, place) => {
    const modules = { broken: "export {}\n)", other: "export const b = 1; globalThis.ran = true" };
    const failure = await failureOf(session.execute(code, { sourceType, filename: "main.js", modules }));
    expect(failure).toMatchObject({ guestName: name, phase: "PARSE" });
    const [frame] = failure.frames;
    expect(`${frame?.filename}:${frame?.line}:${frame?.column}`).toBe(place);
    expect(await session.execute("typeof ran")).toBe("undefined");
  });

  test("that import what is not exported are of phase PARSE", async () => {
    const modules = { a: "export const b = 1; globalThis.ran = true" };
    const failure = await failureOf(session.execute("import { c } from 'a'", { sourceType, modules }));
    expect(failure).toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    expect(failure.message).toContain("'c'");
    expect(await session.execute("typeof ran")).toBe("undefined");
  });

  test("are called by their names in what the engine says of them", async () => {
    const modules = { a: "import { c } from 'b'; await 1", b: "await 1" };
    const wrong = "Could not find export 'c' in module 'b'";
    await using other = await client.createSession({ modules });
    const failure = await failureOf(other.execute("await import('a')"));
    expect(failure.message).toBe(wrong);
    expect(await other.execute("await import('a').catch((error) => error)")).toMatchObject({ message: wrong });
    const { warnings } = await other.execute("import('a'); 0").execution();
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringMatching(`: ${wrong}$`)]);
  });

  test("that throw give the error, then and to whoever imports them later", async () => {
    const modules = { bad: "export const x = 1;\n  throw new RangeError('no')" };
    const failure = await failureOf(session.execute("import 'bad'", { sourceType, modules }));
    expect(failure).toMatchObject({ guestName: "RangeError", message: "no", phase: "EVALUATE" });
    expect(failure.frames[0]).toMatchObject({ filename: "bad", line: 2 });
    expect(await failureOf(session.execute("await import('bad')"))).toMatchObject({ guestName: "RangeError" });
  });

  test("are replaced by running their name again; who has the old one keeps it", async () => {
    await session.execute("export const v = 1", { sourceType, filename: "v.js" });
    await session.execute("import { v } from 'v.js'; globalThis.old = () => v", { sourceType });
    await session.execute("export const v = 2", { sourceType, filename: "v.js" });
    expect(await session.execute("[old(), (await import('v.js')).v]")).toEqual([1, 2]);
    await failureOf(session.execute("export const v = ", { sourceType, filename: "v.js" }));
    expect(await session.execute("(await import('v.js')).v")).toBe(2);
  });

  test("that are added keep their text", async () => {
    await session.execute("1", { modules: { a: "export default 1" } });
    await session.execute("1", { modules: { a: "export default 1" } });
    const refused = session.execute("globalThis.ran = 1", { modules: { b: "", a: "export default 2" } });
    await expect(refused).rejects.toThrow(InvalidRequestError);
    await expect(refused).rejects.toThrow("modules[a]: the session has another module of this name");
    expect(await session.execute("typeof ran")).toBe("undefined");
    expect((await failureOf(session.execute("await import('b')"))).message).toContain("the session has 'a'");
  });

  test("of TypeScript are known by their name, or by the language of the execution", async () => {
    const modules = { "a.ts": "import type { T } from './types.ts'; export const a: number = 1" };
    const code = "import { a } from './a.ts'; export const b: number = a + 1; globalThis.b = b satisfies number";
    await session.execute(code, { sourceType, language: "typescript", filename: "main", modules });
    expect(await session.execute("[b, (await import('main')).b]")).toEqual([2, 2]);
    const failure = await failureOf(session.execute("await import('e.ts')", { modules: { "e.ts": "\nenum E { A }" } }));
    expect(failure).toMatchObject({ guestName: "SyntaxError", frames: [{ filename: "e.ts", line: 2, column: 1 }] });
  });

  test("know their name, and their frames have the caller's positions", async () => {
    const code = "globalThis.url = import.meta.url; globalThis.f = () => { throw new Error('x') }; f()";
    const failure = await failureOf(session.execute(code, { sourceType, filename: "dir/m.js" }));
    const plain = await failureOf(
      session.execute(code.replace("import.meta.url", "import_meta_url, 1"), { filename: "x" }),
    );
    expect(await session.execute("url")).toBe("dir/m.js");
    expect(failure.frames.map(({ filename }) => filename)).toEqual(["dir/m.js", "dir/m.js"]);
    expect(plain.guestName).toBe("ReferenceError");
    const again = await failureOf(session.execute("f()"));
    expect(again.frames[0]).toMatchObject({ filename: "dir/m.js", line: 1, column: code.indexOf("Error") + 6 });
  });

  test("take no bindings", async () => {
    const refused = session.execute("x", { sourceType, bindings: { x: 1 } });
    await expect(refused).rejects.toThrow(InvalidRequestError);
    await expect(refused).rejects.toThrow("bindings: are for scripts");
  });

  test.each([
    [{ "": "export {}" }, "modules: must have names"],
    [{ a: "'\0'" }, "modules[a]: must be text without NUL"],
    [{ ["n".repeat(1_025)]: "" }, "modules: must have at most 1024 characters"],
  ])("that cannot be are refused, with the session too", async (modules, message) => {
    await expect(session.execute("1", { modules })).rejects.toThrow(message);
    await expect(client.createSession({ modules })).rejects.toThrow(message);
  });

  test("are found whatever guest code puts behind the ends of arrays", async () => {
    await session.execute(`for (const at of [1, 2, 3]) {
      Object.defineProperty(Array.prototype, at, { get() { throw new Error("guest") }, configurable: true });
    }`);
    expect(
      await session.execute("(await import('a')).default", {
        modules: { a: "export { default } from 'b'", b: "export default 1" },
      }),
    ).toBe(1);
  });

  test("are found after one was imported where the stack has no room for it", async () => {
    await session.execute(
      `for (let size = 1; size < 20; size++) {
        let left = 14;
        const names = Array.from({ length: size }, (_, i) => "v" + i).join();
        const recursion = "const deeper = (" + names + ") => { try { deeper(" + names + ") } catch {} if (take()) import('a').catch(() => {}) }; try { deeper() } catch {}";
        new Function("take", recursion)(() => left-- > 0);
      }`,
      { modules: { a: "export default 1" } },
    );
    expect(await session.execute("(await import('a')).default")).toBe(1);
  });

  test("are part of what makes a request the same", async () => {
    const requestId = crypto.randomUUID();
    const modules = { a: "export default 1", b: "" };
    await session.execute("1", { requestId, modules });
    await session.execute("1", { requestId, modules: { b: "", a: "export default 1" } });
    await expect(session.execute("1", { requestId, modules: { a: "" } })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
  });

  test("that wait for what never comes are of phase DEADLOCK", async () => {
    const failure = await failureOf(session.execute("await new Promise(() => {})", { sourceType }));
    expect(failure.phase).toBe("DEADLOCK");
  });
});
