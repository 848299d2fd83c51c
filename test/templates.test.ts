import { InvalidRequestError, type RenderContext, type Session, StoppedError } from "@livescope/sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  return () => session[Symbol.asyncDispose]();
});

const options = { filename: "t.html" } as const;
const render = (source: string, context: RenderContext = {}) => session.render(source, context, options);

describe("a name means what its block says", () => {
  const topic = { name: "K" };
  const topics = [{ name: "a" }, { name: "b" }];
  const loop = "{{ topic.name }}\n{% for topic of topics %}{{ topic.name }},{% end %}\n{{ topic.name }}";

  test("a loop's name hides one of the context inside the loop alone, and is warned of", async () => {
    const { value, warnings } = await render(loop, { topic, topics }).execution();
    expect(value).toBe("K\na,b,\nK");
    expect(warnings).toEqual([
      {
        message: expect.stringContaining("shadowed name topic"),
        frame: { functionName: "", filename: "t.html", line: 2, column: 1 },
      },
    ]);
    expect(await render(loop, { topic, topics: [] })).toBe("K\n\nK");
  });

  test("the list of a loop is not inside the loop", async () => {
    const source = "{% for topics of topics %}{{ topics }},{% end %}|{{ topics }}";
    expect(await render(source, { topics: ["a", "b"] })).toBe("a,b,|a,b");
  });

  test("a loop in a loop has a name of its own", async () => {
    const source = '{% for x of [1,2] %}{{ x }}[{% for x of ["a","b"] %}{{ x }}{% end %}]{{ x }};{% end %}';
    expect(await render(source)).toBe("1[ab]1;2[ab]2;");
  });

  test("a loop's name is gone behind the loop", async () => {
    const rendering = render("{% for t of topics %}{{ t }}{% end %}|{{ t }}", { topics: [1] });
    await expect(rendering).rejects.toMatchObject({
      guestName: "ReferenceError",
      message: "'t' is not defined",
      frames: [{ filename: "t.html", line: 1, column: 42 }],
    });
  });

  test("a name that nobody declares is an error with its place", async () => {
    await expect(render("line1\nline2\n{{ nope }}")).rejects.toMatchObject({
      message: "'nope' is not defined",
      phase: "EVALUATE",
      frames: [{ functionName: "", filename: "t.html", line: 3, column: 4 }],
      guestStack: "    at <anonymous> (t.html:3:4)\n      3 | {{ nope }}\n        |    ^",
    });
  });

  test("a set changes the name where it is declared", async () => {
    const source = "{% set n = 0 %}{% for i of [1,2,3] %}{% set n = n + i %}{{ n }},{% end %}{{ n }}";
    expect(await render(source)).toBe("1,3,6,6");
  });

  test("a set changes no name of the session", async () => {
    await session.execute("let n = 1; function seen() { return n }");
    expect(await render("{{ n }}{% set n = 2 %}{{ n }}{{ seen() }}")).toBe("121");
    expect(await session.execute("n")).toBe(1);
  });

  test.each([
    ["{% set (n) = 2 %}{{ n }}", "2"],
    ["{% set [(n), m] = [2, 3] %}{{ n }}{{ m }}", "23"],
    ["{% set n = 2 %}{% set (n)++ %}{% set ((n)) += 1 %}{{ n }}", "4"],
  ])("nor does one in parentheses: %s", async (source, text) => {
    await session.execute("var n = 1");
    expect(await render(source)).toBe(text);
    expect(await session.execute("n")).toBe(1);
  });

  test.each(["{% set (n)++ %}", "{% set (n) += 1 %}"])("nor one that counts it up: %s", async (source) => {
    await session.execute("var n = 1");
    await expect(render(source)).rejects.toThrow("n is no name of the template yet");
    expect(await session.execute("n")).toBe(1);
  });

  test("one that hides a name of the session is warned of", async () => {
    await session.execute("let item = 1");
    const { warnings } = await render("{% for item of [1] %}{% end %}{% for Map of [1] %}{% end %}").execution();
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringMatching(/^shadowed name item: .*session/)]);
  });
});

describe("a template", () => {
  test("escapes for HTML, unless it says otherwise", async () => {
    const s = `<b>&"'`;
    expect(await render("{{ s }} {% raw s %}", { s })).toBe(`&lt;b&gt;&amp;&quot;&#39; <b>&"'`);
    expect(await session.render("{{ s }}", { s }, { autoescape: false })).toBe(s);
    expect(await render("{% autoescape None %}{{ s }}", { s })).toBe(s);
  });

  test("reaches nothing of the host", async () => {
    const source = '{{ topics.constructor.constructor("return typeof process")() }}';
    expect(await render(source, { topics: [] })).toBe("undefined");
  });

  test("calls the session's live functions", async () => {
    await session.execute("var count = 0; function hits() { return ++count }");
    expect(await render("{{ hits() }} {{ hits() }}")).toBe("1 2");
    expect(await session.execute("count")).toBe(2);
  });

  test("sees the names of the context before the session's, and handles live", async () => {
    await session.execute("const who = 'session'; const box = { n: 1 }");
    await using box = await session.handle("box");
    expect(await render("{{ who }}{% set given.n = 2 %}", { who: "context", given: box })).toBe("context");
    expect(await render("{{ who }} {{ box.n }}")).toBe("session 2");
  });

  test("awaits", async () => {
    await session.execute("const later = (v) => new Promise((resolve) => setTimeout(() => resolve(v), 5))");
    expect(await render("{{ await later('<') }}{% if await later(true) %}{% raw await later('>') %}{% end %}")).toBe(
      "&lt;>",
    );
    expect(await render("{% for await x of (async function* () { yield 1; yield 2 })() %}{{ x }}{% end %}")).toBe("12");
    await expect(render("{{ later(1) }}")).rejects.toThrow("a promise cannot be printed: write `await`");
  });

  test("that awaits sees its own context beside others", async () => {
    const source = "{{ x }}{{ await new Promise((resolve) => setTimeout(resolve, 5)) }}{{ x }}";
    expect(await Promise.all([render(source, { x: 1 }), render(source, { x: 2 })])).toEqual(["11", "22"]);
  });

  test("has its execution's locals, through every await", async () => {
    await session.execute(
      "const later = () => new Promise((resolve) => setTimeout(resolve, 5)); const user = () => locals.user",
    );
    const source =
      "{{ user() }}{{ await later() }}{{ user() }}{% for i of [1] %}{{ await later() }}{{ user() }}{% end %}";
    const as = (user: string) => session.render(source, {}, { locals: { user } });
    expect(await Promise.all([as("a"), as("b")])).toEqual(["aaa", "bbb"]);
    await expect(session.render("{{ user() }}")).rejects.toThrow("user");
  });

  test("has its places behind what it awaits", async () => {
    await session.execute("const later = async (v) => v");
    await expect(render("x\n{{ await later(1) + (await later(2)) + nope }}")).rejects.toMatchObject({
      frames: [{ filename: "t.html", line: 2, column: 40 }],
    });
    await expect(
      render("{% for i of [1] %}\n{{ '\u{1F600}' + (await later(1)) + nope }}{% end %}"),
    ).rejects.toMatchObject({
      frames: [{ filename: "t.html", line: 2, column: 30 }],
    });
  });

  test("leaves nothing behind but what it called", async () => {
    const names = () => session.execute("Object.getOwnPropertyNames(globalThis).length");
    const before = await names();
    await render("{% set a = 1 %}{% for b of [1] %}{{ a }}{% end %}", { c: 1 });
    expect(await names()).toBe(before);
  });

  test("prints as text what is text: surrogates alone are none", async () => {
    expect(await render("\u{1F600}\0{{ '\\ud83d' }}{{ '\\ude00' }}|{{ '\\ud800' }}")).toBe(
      "\u{1F600}\0\u{1F600}|\ufffd",
    );
  });

  test("may be as deep as the compiler allows", async () => {
    const deep = `${"{% if x %}{% for i of x %}".repeat(50)}y${"{% end %}".repeat(100)}`;
    expect(await render(deep, { x: [1] })).toBe("y");
  });

  test("that is atomic is undone where it throws", async () => {
    await session.execute("var n = 0");
    const source = "{% set _ = globalThis.n = 1 %}{{ nope }}";
    await expect(session.render(source, {}, { atomic: true })).rejects.toMatchObject({ undone: true });
    expect(await session.execute("n")).toBe(0);
    await expect(session.render(source)).rejects.toMatchObject({ undone: false });
    expect(await session.execute("n")).toBe(1);
  });

  test("that is large is compiled once", async () => {
    const source = Array.from({ length: 2_000 }, (_, i) => `{% if n > ${i} %}{{ n }}{% end %}\n`).join("");
    const first = await render(source, { n: 1 }).execution();
    const later: number[] = [];
    for (let i = 0; i < 3; i++) {
      const again = await render(source, { n: 1 }).execution();
      expect(again.value).toBe(first.value);
      later.push(again.usage.cpuTime);
    }
    expect(Math.min(...later)).toBeLessThan(first.usage.cpuTime / 2);
  });
});

describe("templates by name", () => {
  test("extend and include each other", async () => {
    await session.templates({ base: "<main>{% block body %}{% end %}</main>", part: "({{ x }})" });
    expect(await render('{% extends "base" %}{% block body %}hi{% end %}')).toBe("<main>hi</main>");
    expect(await render("{% for x of [1,2] %}{% include part %}{% end %}")).toBe("(1)(2)");
    expect(await session.render({ name: "base" })).toBe("<main></main>");
  });

  test("are replaced by later ones, and found anew", async () => {
    await session.templates({ base: "1{% include part %}", part: "a" });
    expect(await session.render({ name: "base" })).toBe("1a");
    await session.templates({ part: "b" });
    expect(await session.render({ name: "base" })).toBe("1b");
    expect(await session.render({ name: "base" }, {}, { templates: { base: "2{% include part %}" } })).toBe("2b");
    expect(await session.render({ name: "base" })).toBe("2b");
  });

  test("are no texts, whatever those are called", async () => {
    await session.templates({ page: "by name" });
    for (const filename of ["named", "page", "a"]) {
      expect(await session.render({ name: "page" })).toBe("by name");
      expect(await session.render("page", {}, { filename })).toBe("page");
    }
  });

  test.each(["./a", "a//b", "b/../a", "http://host/a", "/abs/a", "/abs//a"])(
    "are found by the name that they were given: %s",
    async (name) => {
      await session.templates({ [name]: "x" });
      expect(await session.render({ name })).toBe("x");
      expect(await render(`{% include "${name}" %}`)).toBe("x");
    },
  );

  test("are told apart by what their names mean", async () => {
    await session.templates({ "./a": "1", "b/./c": "{% include ../a %}" });
    await session.templates({ a: "2" });
    expect(await session.render({ name: "./b/c" })).toBe("2");
    await session.templates({ "/abs/page": "{% include a %}{% include ./a %}" });
    expect(await session.render({ name: "/abs/page" })).toBe("22");
  });

  test("import modules by their names, wherever they lie themselves", async () => {
    const modules = { "m.js": "export const v = 'root'", "pages/m.js": "export const v = 'pages'" };
    await using other = await served.client.createSession({ modules });
    const source = "{{ (await import('./m.js')).v }}{{ (await import('pages/m.js')).v }}";
    expect(await other.render(source, {}, { filename: "pages/x.html" })).toBe("rootpages");
  });

  test("stay where another rendering is undone", async () => {
    await session.templates({ a: "{% while true %}{% end %}" });
    await expect(
      session.render({ name: "a" }, {}, { timeout: 100, templates: { a: "{% while 1 %}{% end %}" } }),
    ).rejects.toThrow(StoppedError);
    const { frames } = await session.render("{% include a %}{% include b %}").catch((error) => error);
    expect(frames).toMatchObject([{ filename: "<template>", line: 1, column: 16 }]);
  });

  test("are each session's own", async () => {
    await using other = await served.client.createSession();
    await session.templates({ a: "x" });
    await expect(other.render({ name: "a" })).rejects.toThrow("the session has no template of this name");
    await expect(other.render({ name: "a" })).rejects.toThrow(InvalidRequestError);
  });

  test("warn of blocks that nobody shows", async () => {
    await session.templates({ base: "{% block body %}{% end %}" });
    const { value, warnings } = await render('{% extends "base" %}{% block boby %}hi{% end %}').execution();
    expect(value).toBe("");
    expect(warnings).toMatchObject([{ message: expect.stringContaining("unused block boby"), frame: { column: 21 } }]);
  });
});

describe("an error in a template", () => {
  test("says template, line and column, and shows the line, where it does not parse", async () => {
    await expect(render("a\n<b>{{ x + }}</b>")).rejects.toMatchObject({
      guestName: "SyntaxError",
      phase: "PARSE",
      message: "Unexpected token",
      frames: [{ filename: "t.html", line: 2, column: 11 }],
      guestStack: "    at t.html:2:11\n      2 | <b>{{ x + }}</b>\n        |           ^",
    });
  });

  test.each([
    ["\n{{ import.meta }}", 2],
    ["{% for a, a of b %}{% end %} We await your reply", 1],
    ["{% for let, a of b %}{{ await 1 }}{% end %}", 1],
    ["{% for await, a of b %}{% end %}", 1],
    ["{% set [x, x] = [1, await 2] %}", 1],
    ["\n{{ (() => { using x = null })() }} We await your reply", 2],
  ])("has its place where only the whole does not parse: %s", async (source, line) => {
    await expect(render(source)).rejects.toMatchObject({
      guestName: "SyntaxError",
      phase: "PARSE",
      frames: [{ filename: "t.html", line }],
    });
  });

  test("leads through what includes it", async () => {
    await session.templates({ page: "\n{% include part %}", part: "x\n  {{ nope }}", bad: "{% if %}" });
    await expect(session.render({ name: "page" })).rejects.toMatchObject({
      frames: [
        { filename: "part", line: 2, column: 6 },
        { filename: "page", line: 2, column: 1 },
      ],
    });
    await expect(render("{% include bad %}")).rejects.toMatchObject({
      phase: "PARSE",
      frames: [
        { filename: "bad", line: 1, column: 6 },
        { filename: "t.html", line: 1, column: 1 },
      ],
    });
  });

  test("of what an apply cannot print has the place of the function that gave it", async () => {
    await expect(render("x\n {% apply async (t) => t %}a{% end %}")).rejects.toMatchObject({
      frames: [{ filename: "t.html", line: 2, column: 11 }],
    });
  });

  test("of a called function keeps its own frames before the template's", async () => {
    await session.execute("function f() { return g() }\nfunction g() { throw new TypeError('no') }", {
      filename: "f.js",
    });
    await expect(render("\n\n  {{ f() }}")).rejects.toMatchObject({
      guestName: "TypeError",
      message: "no",
      frames: [
        { functionName: "g", filename: "f.js", line: 2 },
        { functionName: "f", filename: "f.js", line: 1 },
        { functionName: "", filename: "t.html", line: 3, column: 7 },
      ],
    });
  });

  test("of a block is where the block is written, then where it is placed", async () => {
    await session.templates({ base: "1\n2 {% block b %}{% end %}" });
    await expect(render("{% extends base %}\n{% block b %}\n{{ nope }}{% end %}")).rejects.toMatchObject({
      frames: [
        { filename: "t.html", line: 3, column: 4 },
        { filename: "base", line: 2, column: 3 },
        { filename: "t.html", line: 1, column: 1 },
      ],
    });
  });

  test("is found in a function that a template made, as long as that lives", async () => {
    await session.execute("let saved");
    await render("\n {% set _ = (saved = () => missing) %}").catch(() => session.execute("0"));
    await render("\n {{ (globalThis.saved = () => missing) && 1 }}");
    await expect(session.execute("saved()")).rejects.toMatchObject({
      frames: [
        { functionName: "", filename: "t.html", line: 2 },
        { filename: "script.js", line: 1 },
      ],
    });
  });

  test("that printing meets is where it is printed", async () => {
    const source = "{{ 1 }}\n{{ { toString() { throw new RangeError('t') } } }}";
    await expect(render(source)).rejects.toMatchObject({
      message: "t",
      frames: [
        { functionName: "toString", filename: "t.html", line: 2 },
        { functionName: "String", filename: "" },
        { functionName: "", filename: "t.html", line: 2, column: 4 },
      ],
    });
  });
});

describe("a template has its session's limits", () => {
  test("one without end runs out of time, and is undone", async () => {
    await session.execute("var n = 0");
    const rendering = session.render("{{ n = 1 }}{% while true %}x{% end %}", {}, { timeout: 300 });
    await expect(rendering).rejects.toMatchObject({ reason: "TIMEOUT", undone: true });
    expect(await session.execute("n")).toBe(0);
    expect(await render("ok")).toBe("ok");
  });

  test("one that explodes is larger than a value may be, or than the memory", async () => {
    const source = "{% for i of Array(100000) %}{% for j of Array(10) %}0123456789{% end %}{% end %}";
    await expect(render(source)).rejects.toMatchObject({ reason: "VALUE_SIZE", undone: true });
    await expect(render("{{ 'x'.repeat(5_000_000) }}")).rejects.toMatchObject({ reason: "VALUE_SIZE" });
    await expect(
      render("{% set a = [] %}{% while true %}{% set _ = a.push(Array(10000).fill(1)) %}{% end %}"),
    ).rejects.toMatchObject({
      reason: "MEMORY",
    });
    expect(await render("ok")).toBe("ok");
  });

  test("what apply makes small was as large as it likes, inside a loop or not, also in a stream", async () => {
    const limits = { valueBytes: 1_000 };
    const body = "{% for i of [1, 2, 3] %}{{ 'x'.repeat(600) }}{% end %}";
    const source = `{% apply (s) => s.length %}${body}{% end %}`;
    expect(await session.render(source, {}, { limits })).toBe("1800");
    await expect(session.render(body, {}, { limits })).rejects.toMatchObject({ reason: "VALUE_SIZE" });
    const pieces: string[] = [];
    for await (const piece of session.renderStream(source, {}, { limits })) pieces.push(piece);
    expect(pieces).toEqual(["1800"]);
  });

  test("many that become large, or that the engine refuses, leave room for others", async () => {
    await using small = await served.client.createSession({ limits: { memoryBytes: 12 << 20 } });
    await small.templates({ icon: `<svg>${"x".repeat(5_000)}</svg>` });
    for (let i = 0; i < 30; i++) {
      expect(await small.render(`${i}${"{% include icon %}".repeat(100)}`)).toHaveLength(501_100 + `${i}`.length);
    }
    for (let i = 0; i < 30; i++) {
      const wrong = small.render(`${i}${"x".repeat(500_000)}{{ (() => { using y = 1 })() }}`);
      await expect(wrong).rejects.toMatchObject({ guestName: "SyntaxError" });
    }
    expect(await small.render("{{ 1 }}")).toBe("1");
  });

  test("one that only includes very much is refused", async () => {
    const templates = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`n${i}`, `{% include n${i + 1} %}`.repeat(2)]),
    );
    await session.templates({ ...templates, n40: "x" });
    await expect(session.render({ name: "n0" })).rejects.toMatchObject({ phase: "PARSE" });
  });

  test("escapes whatever guest code made of the realm", async () => {
    await render("{{ 1 }}");
    await session.execute(`
      const broken = [];
      for (const proto of [String.prototype, RegExp.prototype, Array.prototype, Map.prototype, Function.prototype])
        for (const name of Reflect.ownKeys(proto))
          if (Object.getOwnPropertyDescriptor(proto, name).configurable) broken[broken.length] = { proto, name };
      for (let i = 0; i < broken.length; i++)
        Object.defineProperty(broken[i].proto, broken[i].name, { value: () => 'BROKEN' });
      Object.defineProperty(Array.prototype, '0', { set() {} });
      Object.defineProperty(Object.prototype, 'toJSON', { value: () => 'BROKEN' });
      globalThis.String = globalThis.JSON = globalThis.RegExp = undefined; 0`);
    expect(await render("{{ s }}{{ n }}{% include p %}", { s: "<a&b>", n: 1.5 }).catch((error) => error.message)).toBe(
      "The session has no template p",
    );
    expect(await render("{{ s }}{{ n }}", { s: "<a&b>", n: 1.5 })).toBe("&lt;a&amp;b&gt;1.5");
    await expect(render("x\n{{ nope }}")).rejects.toMatchObject({
      frames: [{ filename: "t.html", line: 2, column: 4 }],
    });
  });
});

describe("the text in pieces", () => {
  const rows = "{% for i of Array.from({ length: 20_000 }, (_, i) => i) %}<p>{{ i }}</p>{% end %}!";

  test("is the text", async () => {
    const pieces: string[] = [];
    for await (const piece of session.renderStream(rows)) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.join("")).toBe(await session.render(rows));
  });

  test("has a character whole whose halves are printed one by one", async () => {
    const source = "{% for unit of s.split('') %}{{ unit }}{% end %}";
    const s = `${"x".repeat(16_384)}\u{1F600}y\ud83d`;
    const pieces: string[] = [];
    for await (const piece of session.renderStream(source, { s })) pieces.push(piece);
    expect(pieces.map(({ length }) => length)).toEqual([16_384, 4]);
    expect(pieces.join("")).toBe(`${"x".repeat(16_384)}\u{1F600}y\ufffd`);
  });

  test("may be larger than a value, and goes no faster than it is taken", async () => {
    await session.execute("var rounds = 0");
    const endless = "{% while true %}{{ ++rounds && 'x'.repeat(10000) }}{% end %}";
    let taken = 0;
    for await (const piece of session.renderStream(endless)) {
      taken += piece.length;
      if (taken > 8_000_000) break;
    }
    expect(taken).toBeGreaterThan(8_000_000);
    // What was left early ends; the session answers again.
    expect(await session.execute("rounds")).toBeLessThan(3_000);
  });

  test("ends in the error that the template has", async () => {
    const pieces = session.renderStream(`${rows}{{ nope }}`, {}, options);
    const taken = async () => {
      for await (const _ of pieces);
    };
    await expect(taken()).rejects.toMatchObject({ message: "'nope' is not defined", frames: [{ filename: "t.html" }] });
  });

  test("is awaited for where the template awaits", async () => {
    let text = "";
    for await (const piece of session.renderStream("{% for i of [1,2] %}{{ await i }}{% end %}")) text += piece;
    expect(text).toBe("12");
  });
});
