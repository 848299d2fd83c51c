import { runInThisContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { type Compilation, compileTemplate } from "./template.js";

interface Given {
  readonly context?: Readonly<Record<string, unknown>>;
  readonly templates?: Readonly<Record<string, string>>;
  readonly escapes?: boolean;
  readonly name?: string;
}

function compile(
  text: string,
  { context = {}, templates = {}, escapes = true, name = "t.html" }: Given = {},
): Compilation {
  return compileTemplate({
    root: { name, text },
    context: Object.keys(context),
    escapes,
    streams: false,
    templates: new Map(Object.entries(templates)),
  });
}

/** Renders with what a session would give; here it is this realm's. */
function render(text: string, given: Given = {}): string {
  const compiled = compile(text, given);
  if (compiled.kind !== "compiled") throw new Error(JSON.stringify(compiled));
  const run = runInThisContext(compiled.source) as (...values: unknown[]) => string;
  const plain = (value: unknown): string => (value === null || value === undefined ? "" : String(value));
  const escaped = (value: unknown): string =>
    plain(value).replace(
      /[&<>"']/g,
      (found) => `&${{ "&": "amp", "<": "lt", ">": "gt", '"': "quot" }[found] ?? "#39"};`,
    );
  const custom = (value: unknown, escaper: (text: string) => unknown): string => plain(escaper(plain(value)));
  const wellFormed = (value: string): string => value;
  const most = 1_000_000;
  const streaming = [fails, fails];
  const context = Object.values(given.context ?? {});
  return run(escaped, plain, custom, () => "too large", wellFormed, most, ...streaming, ...context);
}

/** The message, and its places innermost first. */
function refusal(text: string, given: Given = {}): string {
  const compiled = compile(text, given);
  if (compiled.kind !== "refused") throw new Error(`it is ${compiled.kind}`);
  return [compiled.message, ...compiled.places.map((place) => place.join(":"))].join(" | ");
}

function warnings(text: string, given: Given = {}): string[] {
  const compiled = compile(text, given);
  if (compiled.kind !== "compiled") throw new Error(JSON.stringify(compiled));
  return compiled.warnings.map(([message, site, line, column]) => {
    const [file = 0] = compiled.sites[site] ?? [];
    return `${compiled.files[file]}:${line}:${column} ${message}`;
  });
}

const upper = (text: string): string => text.toUpperCase();
const fails = (): never => {
  throw new TypeError("no");
};

// What Tornado's own tests of its templates check, with JavaScript for Python. docs/templates.md lists what differs.
describe("what Tornado's templates do", () => {
  test.each<[what: string, text: string, expected: string, given?: Given]>([
    ["names", "Hello {{ name }}!", "Hello Ben!", { context: { name: "Ben" } }],
    ["expressions", "2 + 2 = {{ 2 + 2 }}", "2 + 2 = 4"],
    ["comments", "Hello{# TODO i18n #} {{ name }}!", "Hello Ben!", { context: { name: "Ben" } }],
    ["comments with tags in them", "a{# {{ x }} {% if %} #}b", "ab"],
    ["comment tags", "{% comment blah blah %}foo", "foo"],
    [
      "includes",
      '{% include "header.html" %}\nbody text',
      "header text\nbody text",
      { templates: { "header.html": "header text" } },
    ],
    [
      "extending",
      '{% extends "base.html" %}{% block title %}page title{% end %}{% block body %}page body{% end %}',
      "<html><head><title>page title</title></head><body>page body</body></html>",
      {
        templates: {
          "base.html":
            "<html><head><title>{% block title %}default title{% end %}</title></head>" +
            "<body>{% block body %}default body{% end %}</body></html>",
        },
      },
    ],
    [
      "names relative to the folder of who says them",
      "{% include '2.html' %}",
      "ok",
      { name: "a/1.html", templates: { "a/2.html": "{% include '../b/3.html' %}", "b/3.html": "ok" } },
    ],
    ["names that begin at the root", "{% include /x %}", "ok", { name: "a/1.html", templates: { "/x": "ok" } }],
    ["an escaped {{", "{{!", "{{"],
    ["an escaped {%", "{%!", "{%"],
    ["an escaped {#", "{#!", "{#"],
    ["escaped tags beside others", "{{ 'expr' }} {{!jquery expr}}", "expr {{jquery expr}}"],
    ["text beyond ASCII", "{{ 'é' }} ünïcode \u00e9", "é ünïcode \u00e9"],
    ["names beyond ASCII", "{{ é }}", "ok", { context: { é: "ok" } }],
    ["apply", "{% apply upper %}foo{% end %}", "FOO", { context: { upper } }],
    ["apply with tags in it", "{% apply upper %}foo {{ x }}{% end %}", "FOO BAR", { context: { upper, x: "bar" } }],
    ["if and else", "{% if x > 4 %}yes{% else %}no{% end %}", "yes", { context: { x: 5 } }],
    ["if and else, no", "{% if x > 4 %}yes{% else %}no{% end %}", "no", { context: { x: 3 } }],
    ["elif", "{% if x == 1 %}a{% elif x == 2 %}b{% elif x == 3 %}c{% else %}d{% end %}", "c", { context: { x: 3 } }],
    ["empty branches", "{% if true %}{% else %}{% end %}", ""],
    ["for", "{% for i of [1, 2] %}{{ i }},{% end %}", "1,2,"],
    ["for with in", "{% for i in [1, 2] %}{{ i }},{% end %}", "1,2,"],
    ["for with two names", "{% for k, v in [['a', 1], ['b', 2]] %}{{ k }}={{ v }};{% end %}", "a=1;b=2;"],
    ["while", "{% set n = 3 %}{% while n > 0 %}{{ n }}{% set n = n - 1 %}{% end %}", "321"],
    [
      "break and continue",
      "{% for i of [0,1,2,3,4,5,6,7,8] %}{% if i == 2 %}{% continue %}{% end %}{{ i }}{% if i == 6 %}{% break %}{% end %}{% end %}",
      "013456",
    ],
    [
      "try, without an exception",
      "{% try %}try{% set y = 1 %}{% except %}-except{% else %}-else{% finally %}-finally{% end %}",
      "try-else-finally",
    ],
    [
      "try, with one",
      "{% try %}try{% set y = fails() %}{% except %}-except{% else %}-else{% finally %}-finally{% end %}",
      "try-except-finally",
      { context: { fails } },
    ],
    ["else of a loop that ends", "{% for i of [1] %}{{ i }}{% else %}-else{% end %}", "1-else"],
    ["else of a loop that is left", "{% for i of [1] %}{% break %}{% else %}-else{% end %}", ""],
    ["else of while", "{% while false %}{% else %}-else{% end %}", "-else"],
    ["autoescape by default", "{{ name }}", "Bobby &lt;table&gt;s", { context: { name: "Bobby <table>s" } }],
    ["autoescape None", "{% autoescape None %}{{ x }}", "<", { context: { x: "<" } }],
    ["autoescape with a function", "{% autoescape upper %}{{ 'x' }}", "X", { context: { upper } }],
    ["autoescape turned off by who asks", "{{ x }}", "<", { escapes: false, context: { x: "<" } }],
    ["raw", "{% raw x %}{{ x }}", "<&lt;", { context: { x: "<" } }],
    [
      "escaping by the file that says it: a block that is not replaced",
      "{% extends base %}",
      "<",
      { context: { x: "<" }, templates: { base: "{% autoescape None %}{% block b %}{{ x }}{% end %}" } },
    ],
    [
      "escaping by the file that says it: a block that is",
      "{% extends base %}{% block b %}extended: {{ x }}{% end %}",
      "extended: &lt;",
      { context: { x: "<" }, templates: { base: "{% autoescape None %}{% block b %}base: {{ x }}{% end %}" } },
    ],
    ["whitespace all", "a   b\n\n c", "a   b\n\n c"],
    ["whitespace oneline", "{% whitespace oneline %}a   b\n\n c", "a b c"],
    ["whitespace single", "{% whitespace single %}a  b\n\n c", "a b\nc"],
    ["whitespace, then all again", "{% whitespace oneline %} a\n{% whitespace all %} b\n", " a  b\n"],
    ["text with a pre, whatever the mode", "{% whitespace oneline %}<pre>\n a\n</pre>", "<pre>\n a\n</pre>"],
    ["more than two braces: the innermost count", "{{{ 'a' }}}", "{a}"],
    ["braces that are none of ours", "{ a } {\\b} }}", "{ a } {\\b} }}"],
    ["blocks at two places: the last definition fills both", "{% block t %}1{% end %}{% block t %}2{% end %}", "22"],
    [
      "blocks of three generations",
      "{% extends b %}{% block x %}C{% end %}",
      "[C|B]",
      {
        templates: {
          b: "{% extends a %}{% block y %}B{% end %}",
          a: "[{% block x %}A{% end %}|{% block y %}A{% end %}]",
        },
      },
    ],
    [
      "a block inside a block",
      "{% extends a %}{% block inner %}C{% end %}",
      "[<C>]",
      { templates: { a: "[{% block outer %}<{% block inner %}A{% end %}>{% end %}]" } },
    ],
    [
      "blocks of an included template that are replaced",
      "{% extends a %}{% block b %}C{% end %}",
      "[C]",
      { templates: { a: "[{% include i %}]", i: "{% block b %}I{% end %}" } },
    ],
    [
      "names of the place in a block and in what is included",
      "{% extends a %}{% block b %}{{ i }}{% include c %}{% end %}",
      "1(1)2(2)",
      { templates: { a: "{% for i of [1,2] %}{% block b %}{% end %}{% end %}", c: "({{ i }})" } },
    ],
  ])("%s", (_what, text, expected, given) => {
    expect(render(text, given)).toBe(expected);
  });

  test.each([
    ["{{ ", "Missing }} | t.html:1:3"],
    ["{% if x", "Missing %} | t.html:1:6"],
    ["{# x", "Missing end of comment #} | t.html:1:1"],
    ["a\n{{ }}", "Empty expression | t.html:2:3"],
    ["{% %}", "Tag without a word | t.html:1:1"],
    ["{% end %}", "Extra {% end %} | t.html:1:1"],
    ["a\n{% if x %}b", "Missing {% end %} of this {% if %} | t.html:2:1"],
    ["{% else %}", "{% else %} stands outside of what it could belong to | t.html:1:1"],
    ["{% block a %}{% else %}{% end %}", "{% else %} stands inside {% block %} | t.html:1:14"],
    ["{% nix %}", "Unknown tag {% nix %} | t.html:1:1"],
    ["{% break %}", "{% break %} stands outside of for and while | t.html:1:1"],
    [
      "{% for i of x %}{% apply f %}{% break %}{% end %}{% end %}",
      "{% break %} stands outside of for and while | t.html:1:30",
    ],
    ["{% block %}{% end %}", "{% block %} needs a name | t.html:1:1"],
    ["{% include %}", "{% include %} needs the name of a template | t.html:1:1"],
    ["{% extends '' %}", "{% extends %} needs the name of a template | t.html:1:1"],
    ["{% autoescape %}", "{% autoescape %} needs a function, or None | t.html:1:15"],
    ["{% whitespace no %}", "{% whitespace %} needs one of all, single, oneline | t.html:1:1"],
    ["{% set x %}", "A set has to say {% set NAME = VALUE %} | t.html:1:8"],
  ])("refuses %s", (text, expected) => {
    expect(refusal(text)).toBe(expected);
  });

  test("says where, through includes and extends", () => {
    const templates = { sub: "\n\n {% if %}{% end %}", base: "\n{% include sub %}" };
    expect(refusal("x {% extends base %}", { templates })).toBe("Empty expression | sub:3:7 | base:2:1 | t.html:1:3");
  });
});

describe("names", () => {
  const topic = { name: "K" };
  const topics = [{ name: "a" }, { name: "b" }];

  test.each<[what: string, text: string, expected: string, given?: Given]>([
    [
      "a loop's name hides another inside the loop alone",
      "{{ topic.name }}{% for topic of topics %}{{ topic.name }}{% end %}{{ topic.name }}",
      "KabK",
      { context: { topic, topics } },
    ],
    [
      "the list of a loop is not inside it",
      "{% for x of x %}{{ x }}{% end %}{{ x }}",
      "121,2",
      { context: { x: [1, 2] } },
    ],
    [
      "a set changes the name where it is declared",
      "{% set n = 0 %}{% for i of [1,2] %}{% set n += i %}{% end %}{{ n }}",
      "3",
    ],
    ["a set in a block is the block's", "{% if true %}{% set n = 1 %}{{ n }}{% end %}{{ typeof n }}", "1undefined"],
    [
      "a set of a context's name changes it for the template",
      "{% if true %}{% set x = 2 %}{% end %}{{ x }}",
      "2",
      { context: { x: 1 } },
    ],
    [
      "a set of a loop's name changes it for the round",
      "{% for x of [1,2] %}{% set x = x * 2 %}{{ x }},{% end %}",
      "2,4,",
    ],
    ["what stands before a set means another name", "{{ Number.name }}{% set Number = 1 %}{{ Number }}", "Number1"],
    ["so does what the set itself says", "{% set Math = Math.max(1, 2) %}{{ Math }}", "2"],
    [
      "and what a function made before it says",
      "{% set f = () => typeof Map %}{% set Map = 1 %}{{ f() }}{{ Map }}",
      "function1",
    ],
    ["white space of any kind around it", "{{ 1,\u00a0Number\u3000.name }}{% set Number = 1 %}{{ Number }}", "Number1"],
    ["what is spread included", "{{ typeof {...Number} }}{% set Number = 1 %}{{ Number }}", "object1"],
    ["what is written with an escape included", "{{ \\u004eumber.name }}{% set Number = 1 %}{{ Number }}", "Number1"],
    [
      "a function is called like the set",
      "{% set f = function () { return typeof f } %}{{ f.name }}{{ f() }}",
      "fundefined",
    ],
    ["and like it alone", "{% set [f] = [() => typeof f] %}{% set g = () => 1 %}{{ f() }}{{ g.name }}", "undefinedg"],
    ["patterns", "{% set [a, {b, ...c}] = [1, {b: 2, d: 3}] %}{{ a }}{{ b }}{{ c.d }}", "123"],
    ["patterns with names old and new", "{% set a = 1 %}{% set [a, b] = [2, 3] %}{{ a }}{{ b }}", "23"],
    ["patterns with more than names", "{% set o = {} %}{% set [o.x, y] = [1, 2] %}{{ o.x }}{{ y }}", "12"],
    ["several sets in one", "{% set a = 1, b = a + 1 %}{{ b }}", "2"],
    ["sets of parts", "{% set o = {n: 1} %}{% set o.n = 5 %}{% set o.n++ %}{{ o.n }}", "6"],
    ["a pattern in a loop", "{% for {a, b = 2} of [{a: 1}] %}{{ a }}{{ b }}{% end %}", "12"],
    [
      "each round has names of its own",
      "{% set fs = [] %}{% for i of [1,2] %}{% set _ = fs.push(() => i) %}{% end %}{{ fs.map((f) => f()) }}",
      "1,2",
    ],
    [
      "the name of an exception",
      "{% try %}{{ fails() }}{% except as e %}{{ e.message }}{% end %}{{ typeof e }}",
      "noundefined",
      { context: { fails } },
    ],
    [
      "names of an apply are its own",
      "{% apply upper %}{% set q = 'x' %}{{ q }}{% end %}{{ typeof q }}",
      "Xundefined",
      { context: { upper } },
    ],
    [
      "names of an included template are its own",
      "{% include i %}{{ typeof q }}",
      "1undefined",
      { templates: { i: "{% set q = 1 %}{{ q }}" } },
    ],
    [
      "the function's own names meet none of the author's",
      "{{ $_0 }}{{ $_escape }}",
      "12",
      { context: { $_0: 1, $_escape: 2 } },
    ],
    [
      "nor do they where those are written with escapes",
      "a{{ typeof \\u0024_0 }}{{ typeof $\\u{5f}0 }}",
      "aundefinedundefined",
    ],
    [
      "however the author's are called",
      `$${"_".repeat(40_000)}${"{{ 1 }}".repeat(40)}`,
      `$${"_".repeat(40_000)}${"1".repeat(40)}`,
    ],
  ])("%s", (_what, text, expected, given) => {
    expect(render(text, given)).toBe(expected);
  });

  const hides = (what: string, whose: string): string => `this {% ${what} %} hides ${whose} to the end of its block`;

  test.each<[text: string, expected: readonly string[]]>([
    ["{% for x of y %}{% end %}", []],
    ["{% for topic of y %}{% end %}", [`t.html:1:1 shadowed name topic: ${hides("for", "the one of the context")}`]],
    [
      "{% set n = 1 %}\n{% for n of y %}{% end %}",
      [`t.html:2:1 shadowed name n: ${hides("for", "another of the template")}`],
    ],
    [
      "{% try %}{% except as topic %}{% end %}",
      [`t.html:1:10 shadowed name topic: ${hides("except", "the one of the context")}`],
    ],
    ["{% set topic = 1 %}", []],
    [
      "{% extends base %}{% block no %}{% end %}{% block b %}{% end %}",
      ["t.html:1:19 unused block no: no template that this one extends has it"],
    ],
    [
      "{% extends base %} text {% block b %}{% end %}",
      ["t.html:1:19 this is never printed: of a template that extends another only blocks count"],
    ],
    [
      "{% block a %}{% end %} {% block a %}{% end %}",
      ["t.html:1:24 block a is defined twice: both places show this one"],
    ],
  ])("warnings of %s", (text, expected) => {
    expect(warnings(text, { context: { topic: 1 }, templates: { base: "{% block b %}{% end %}" } })).toEqual(expected);
  });

  test("warns of a template where it stands first, and of no more than an execution carries", () => {
    const blocks = (n: number): string => Array.from({ length: n }, (_, i) => `{% block b${i} %}{% end %}`).join("");
    const part = `{% extends base %}${blocks(3)}`;
    const templates = {
      base: "",
      part,
      many: `{% extends base %}${blocks(200)}`,
      twice: "{% include part %}".repeat(2),
    };
    const unused = (i: number): string => `unused block b${i}: no template that this one extends has it`;
    const column = (i: number): number => part.indexOf(`{% block b${i} `) + 1;
    const expected = [0, 1, 2].map((i) => `part:1:${column(i)} ${unused(i)}`);
    expect(warnings("{% include part %}{% include twice %}{% include part %}", { templates })).toEqual(expected);
    expect(warnings("{% include many %}", { templates })).toHaveLength(100);
  });

  test("tells which of them may hide one of the session", () => {
    const compiled = compile("{% set a = 1 %}{% for b of c %}{% end %}{% for d of c %}{% end %}", {
      context: { d: 1 },
    });
    expect(compiled.kind === "compiled" && compiled.declared.map(([name]) => name)).toEqual(["a", "b"]);
  });

  test("are not counted up where the template has none", () => {
    expect(refusal("{% set n += 1 %}")).toBe(
      "n is no name of the template yet; write {% set n = VALUE %} | t.html:1:8",
    );
  });
});

describe("code in tags", () => {
  test.each([
    ["{{ '}}' }}", "}}"],
    ["{{ '%}' }}{% if '%}' %}y{% end %}", "%}y"],
    ["{{ `}}` + '}}' }}", "}}}}"],
    ["{{ {a: {b: 1}}.a.b }}", "1"],
    ["{{ {a: {b: 1}}}}", "[object Object]"],
    ["{{ /}}/.test('}}') }}", "true"],
    ["{% if /%}/.test('%}') %}y{% end %}", "y"],
    ["{{ 1 /* }} */ }}", "1"],
    ["{{ 1 // one }}", "1"],
    ["{{ 1 <!-- one }}", "1"],
    ["{{ [1, 2 <!-- two }}\n, 3] }}", "1,2,3"],
    ["{{ 1\n--> one }}", "1"],
    ["{{ 1, 2 }}", "2"],
    ["{{ (x => x * 2)(4) }}", "8"],
    ["{{ (function () { return arguments.length })(1, 2) }}{{ 'arguments' }}", "2arguments"],
    ["$livescope$ {# $livescope$ #}{{!", "$livescope$ {{"],
    ["{{ '}}' // it is }}\n+ 1 }}", "}}\n+ 1 }}"],
    ["{% autoescape (s) => '%}' + s %}{{ 1 }}", "%}1"],
    ["{{ 1 }}{{ 2 }}", "12"],
    ["{{ null }}{{ undefined }}{{ 0 }}{{ false }}{{ '' }}", "0false"],
    ["{% apply (t) => t + '!' %}a{% end %}", "a!"],
    ["{% apply 'x'.concat %}{% end %}", "x"],
    ["{% try %}a{{ fails() }}b{% except %}c{% end %}", "ac"],
    [
      "{% try %}{{ fails() }}{% except RangeError %}r{% except Error, TypeError as e %}{{ e.name }}{% end %}",
      "TypeError",
    ],
    ["{% try %}{% try %}{{ fails() }}{% except RangeError %}r{% end %}{% except %}outer{% end %}", "outer"],
    ["{% for i of [1] %}{% try %}{% break %}{% except %}{% else %}no{% finally %}f{% end %}{% end %}", "f"],
    ["{% for i of [1,2] %}{% for j of [1] %}{% break %}{% else %}no{% end %}{{ i }}{% end %}", "12"],
    ["{% if 1 %}a{% end if %}{% block b %}c{% end b %}{% block d %}e{% end block %}", "ace"],
    ["{% autoescape None %}{% if 1 %}{% autoescape (t) => '<' + t %}{{ 1 }}{% end %}{{ '<' }}", "<1<"],
    ["{% whitespace oneline %}{% if 1 %}{% whitespace all %} \n {% end %} \n ", " \n  "],
  ])("%s", (text, expected) => {
    expect(render(text, { context: { fails } })).toBe(expected);
  });

  test.each([
    ["{{ a b }}", "Unexpected token | t.html:1:6"],
    ["{{ a; b }}", "Unexpected token | t.html:1:5"],
    ["{{ a) + (b }}", "Unexpected token | t.html:1:5"],
    ["{{ } }}", "Unexpected token | t.html:1:4"],
    ["{{ 'a }}", "Unterminated string constant | t.html:1:4"],
    ["{{ f( }} {{ x }}", "Unexpected token | t.html:1:7"],
    ["a\n\n{% if x +* y %}{% end %}", "Unexpected token | t.html:3:10"],
    ["{% for x of %}{% end %}", "A for has to say {% for NAME of LIST %} | t.html:1:13"],
    ["{% for x %}{% end %}", "A for has to say {% for NAME of LIST %} | t.html:1:10"],
    ["{% for %}{% end %}", "A for has to say {% for NAME of LIST %} | t.html:1:8"],
    ["{% for x of a; b %}{% end %}", "Unexpected token | t.html:1:14"],
    ["{% set 1 = 2 %}", "Assigning to rvalue | t.html:1:8"],
    ["{% if x %}{% else if y %}{% end %}", "{% else %} takes nothing more; write {% elif %} | t.html:1:19"],
    ["{% if x %}{% endif %}", "Unknown tag {% endif %}; write {% end %} | t.html:1:11"],
    ["{% if x %}{% end for %}", "{% end for %} stands where {% if %} ends | t.html:1:11"],
    ["{% try %}x{% end %}", "{% try %} has neither {% except %} nor {% finally %} | t.html:1:1"],
    ["{% try %}{% except %}{% except %}{% end %}", "The {% except %} before this one takes all | t.html:1:22"],
    ["a {{ $livescope$ }}", "the name $livescope$ is the session's own; choose another | t.html:1:6"],
    ["{{ \\u0024livescope$ }}", "the name $livescope$ is the session's own; choose another | t.html:1:3"],
    ["{% autoescape $livescope$ %}", "the name $livescope$ is the session's own; choose another | t.html:1:15"],
    ["{{ arguments[0] }}", "arguments stands outside of a function | t.html:1:4"],
    ["{% for x of (() => \\u0061rguments)() %}{% end %}", "arguments stands outside of a function | t.html:1:20"],
    ["{% set x = {arguments} %}", "arguments stands outside of a function | t.html:1:13"],
    ["{{ await x }}{{ yield }}", "The keyword 'yield' is reserved | t.html:1:17"],
  ])("refuses %s", (text, expected) => {
    expect(refusal(text)).toBe(expected);
  });

  test("ends where it can end, however often it seems to end before", () => {
    expect(render(`{{ [${"'}}',".repeat(200)}].length }}{{ 1 }}`)).toBe("2001");
    expect(render(`{% if [${"'%}',".repeat(200)}].length %}{{ 1 }}{% end %}`)).toBe("1");
  });

  test("leads each line of what is generated back to the template", () => {
    const compiled = compile("a\n{{ x }}\n  {{ f(1,\n     y) }} {{ '\u{1F600}' + z }}");
    if (compiled.kind !== "compiled") throw new Error(compiled.kind);
    const lines = compiled.source.split("\n");
    const groups = Array.from({ length: compiled.map.length / 5 }, (_, i) => compiled.map.slice(i * 5, i * 5 + 5));
    const found = groups.map(([line = 0, column = 0, , ...place]) => [
      [...(lines[line - 1] ?? "")].slice(column - 1, column + 3).join(""),
      place.join(":"),
    ]);
    expect(found).toEqual([
      ["x", "2:4"],
      ["f(1,", "3:6"],
      ["    ", "4:1"],
      ["'\u{1F600}' ", "4:15"],
      ["' + ", "4:18"],
    ]);
  });

  test("is asynchronous only where it awaits", () => {
    const isAsync = (text: string): boolean => {
      const compiled = compile(text);
      return compiled.kind === "compiled" && compiled.source.includes("(async (");
    };
    expect(isAsync("{{ x }}")).toBe(false);
    const awaiting = ["{{ await x }}", "{% for await x of y %}{% end %}", "{% apply await f %}{% end %}"];
    expect(awaiting.map(isAsync)).toEqual([true, true, true]);
  });
});

describe("what has no end", () => {
  test.each<[text: string, templates: Readonly<Record<string, string>>, expected: string]>([
    ["{% include a %}", { a: "x{% include a %}" }, "The template a contains itself | a:1:2 | t.html:1:1"],
    ["{% include a %}", { a: "{% include t.html %}" }, "The template t.html contains itself | a:1:1 | t.html:1:1"],
    [
      "{% extends a %}",
      { a: "{% extends b %}", b: "{% extends a %}" },
      "The template a contains itself | b:1:1 | a:1:1 | t.html:1:1",
    ],
  ])("is refused: %s", (text, templates, expected) => {
    expect(refusal(text, { templates })).toBe(expected);
  });

  test("is refused where it is only too much", () => {
    const twice = Array.from({ length: 40 }, (_, i) => [`n${i}`, `{% include n${i + 1} %}`.repeat(2)]);
    const templates = { ...Object.fromEntries(twice), n40: "{{ x }}" } as Record<string, string>;
    expect(refusal("{% include n0 %}", { templates })).toMatch(
      /^The template is too large with all that it includes \| n/,
    );
  });

  test("is refused where it is too deep", () => {
    const deep = (levels: number): string => `${"{% if x %}".repeat(levels)}y${"{% end %}".repeat(levels)}`;
    expect(render(deep(100), { context: { x: 1 } })).toBe("y");
    expect(refusal(deep(101))).toBe("More than 100 blocks inside each other | t.html:1:1001");
    expect(refusal(`{{ ${"(".repeat(100_000)} }}`)).toMatch(/^(Not enough stack space|the expression is nested)/);
  });

  test("is refused where sets hide too many names that were meant before, not where they stand in a row", () => {
    const sets = (value: (name: string) => string): string =>
      Array.from({ length: 300 }, (_, i) => `{% set v${i} = ${value(`v${i}`)} %}`).join("");
    expect(render(`${sets((name) => `page.${name}`)}{{ v299 }}`, { context: { page: { v299: "x" } } })).toBe("x");
    expect(refusal(sets((name) => `typeof ${name}`))).toMatch(/^Too many blocks inside each other /);
  });

  test("is asked for while it is missing", () => {
    expect(compile("{% include a %}{% extends b %}")).toEqual({ kind: "missing", names: ["b", "a"] });
    const nothing = { root: { name: "t", text: "\n{% include a %}" }, context: [], escapes: true, streams: false };
    expect(compileTemplate({ ...nothing, templates: new Map([["a", null]]) })).toEqual({
      kind: "refused",
      message: "The session has no template a",
      places: [["t", 2, 1]],
    });
  });
});
