import { describe, expect, test } from "vitest";
import { type CompiledScript, compileScript } from "./script.js";

function compiled(code: string, bindings: readonly string[] = [], meetsConstants = false): CompiledScript {
  return compileScript({ code, isTypeScript: false, bindings, meetsConstants });
}

describe("a script without top-level let, const or class", () => {
  test.each(["1 + 1", "var x = 1", "function f() { return 1 }", "("])("is left as it is: %s", (code) => {
    const declared = { variables: [], constants: [], vars: [], boundConstants: [] };
    expect(compiled(code)).toMatchObject({ source: code, declared, positions: undefined, unparsed: undefined });
  });
});

describe("top-level declarations", () => {
  test.each([
    ["let x = 1", "var x = 1", ["x"], []],
    ["let x", "var x = void 0;", ["x"], []],
    ["let x\n(1)", "var x = void 0;\n(1)", ["x"], []],
    ["let x, y // both\n[1]", "var x = void 0, y = void 0; // both\n[1]", ["x", "y"], []],
    ["let x, y = 2", "var x = void 0, y = 2", ["x", "y"], []],
    ["const K = 1", "var   K = 1", [], ["K"]],
    ["const { a, b: [c], ...d } = o", "var   { a, b: [c], ...d } = o", [], ["a", "c", "d"]],
    ["let [p = 1, , ...q] = r", "var [p = 1, , ...q] = r", ["p", "q"], []],
    ["class A {}", "var A = class A {};", ["A"], []],
    ["class A {}class B {}let x", "var A = class A {};var B = class B {};var x = void 0;", ["A", "B", "x"], []],
    ["{ let inner = 1 } for (const i of []) {}", "{ let inner = 1 } for (const i of []) {}", [], []],
    ["function f() { const x = 1 }", "function f() { const x = 1 }", [], []],
  ])("%s", (code, source, variables, constants) => {
    const script = compiled(code);
    expect(script.source).toBe(source);
    expect(script.declared).toMatchObject({ variables, constants });
  });

  test.each(["let a = 1; const b = 2; fail()\nlet c = 3", "let x\nfail()", "let x;\nfail()", "const a = 1"])(
    "need no map where nothing moves: %s",
    (code) => {
      expect(compiled(code).positions).toBeUndefined();
    },
  );

  test.each([
    ["let x; fail()", [1, 15, 1, 6]],
    ["class A {}", [1, 9, 1, 1]],
    ["\n1; class A { static x = fail() }\nfail()", [2, 12, 2, 4]],
  ])("have a map where something moves: %s", (code, positions) => {
    expect(compiled(code).positions).toEqual(positions);
  });

  test("of a source that does not parse stay, and say that it must not run", () => {
    const { source, unparsed, declared } = compiled("let x = 1;\nlet y = ;");
    expect(source).toBe("let x = 1;\nlet y = ;");
    expect(unparsed).toMatchObject({ message: "Unexpected token", place: { line: 2, column: 9 } });
    expect(declared.variables).toEqual([]);
  });

  test("of a source that is nested too deeply to be parsed must not run either", () => {
    const { unparsed } = compiled(`let x = ${"[".repeat(200_000)}${"]".repeat(200_000)}`);
    expect(unparsed).toMatchObject({ name: "SourceError", place: { line: 1 } });
  });

  test("of var are told where the session has constants", () => {
    const code = "var a = 1; if (a) { var { b } = a } for (var c of []) {} function f() { var d }";
    expect(compiled(code, [], true).declared.vars).toEqual(["a", "b", "c"]);
    expect(compiled(code, [], true).source).toBe(code);
  });
});

describe("bindings", () => {
  const inScope = (code: string): string => `with($livescope$.takeBindings()){${code}\n}`;

  test.each([
    ["x + 1", "x + 1"],
    ["var x = 2", "{const $livescope$d=( x = 2)}"],
    ["var x = 2;", "{const $livescope$d=( x = 2)}"],
    ["let x", "{const $livescope$d=( 0)}"],
    ["var x", "{const $livescope$d=( 0)}"],
    ["let x, y;", "{const $livescope$d=( 0, y = void 0)}"],
    ["var x, y, { z } = y;", "var y,z;{const $livescope$d=( 0, 0, { z } = y)}"],
    ["let x = () => {}\n(1)", "{const $livescope$d=( x = () => {})}\n(1)"],
    ["{ var { x } = y }", "{ {const $livescope$d=( { x } = y)} }"],
    ["{ f\nvar [x, y] = z }", "var y;{ f\n{const $livescope$d=( [x, y] = z)} }"],
    ["if (y) var x = 1\nelse var x", "if (y) {const $livescope$d=( x = 1)}\nelse {const $livescope$d=( 0)}"],
    ["for (var x of xs) {}", "for (    x of xs) {}"],
    ["for (var x = 0, y; y; ) {}", "var y;for (    x = 0, y; y; ) {}"],
    ["for (var { x } in xs) {}", "for (    { x } in xs) {}"],
    ["class A { static { var x } }", "var A = class A { static { var x } };"],
    ["function x() {}", "{const $livescope$d=x = function x() {}}"],
    ["class x {}", "{const $livescope$d=x = class x {}}"],
    [
      "function x() {}class A {}var x",
      "{const $livescope$d=x = function x() {}}var A = class A {};{const $livescope$d=( 0)}",
    ],
    ["let y = x", "var y = x"],
  ])("are found before names of the session: %s", (code, source) => {
    expect(compiled(code, ["x"]).source).toBe(inScope(source));
  });

  test("leave function declarations to the session", () => {
    expect(compiled("function f() { return x }", ["x"]).source).toBe(
      inScope("$livescope$.declareFunctions({f});function f() { return x }"),
    );
  });

  test.each([
    ["x()", ";(0,x)()"],
    ["y\nx().z", "y\n;(0,x)().z"],
    ["if (y) x()\nelse x()", "if (y) (0,x)()\nelse (0,x)()"],
    ["switch (y) { case x(): x() }", "switch (y) { case (0,x)(): ;(0,x)() }"],
    ["x`1`", ";(0,x)`1`"],
    ["y?.(x?.())?.z?.()", ";(0,y)?.((0,x)?.())?.z?.()"],
    ["y(x.z(), new x())", "y(x.z(), new x())"],
    ["with (y) x()", "with (y) x()"],
    ["await x()", "$livescope$.s($livescope$.c(),await  $livescope$.r((0,x)()))"],
    ["async () => { for await (y of z);x() }", "async () => { {FOR_AWAIT};(0,x)() }"],
  ])("are called without the others: %s", (code, source) => {
    const written = compiled(code, ["x"]).source.replaceAll(/\/\*\$livescope\$.*?\*\//g, "");
    expect(written.replace(/\{const \$livescope\$c.*\}\}(?=;)/, "{FOR_AWAIT}")).toBe(inScope(source));
  });

  test("leave a #! line the first", () => {
    expect(compiled("#!/bin/js\nx", ["x"]).source).toBe("#!/bin/js\nwith($livescope$.takeBindings()){x\n}");
  });

  test("stay constants where the source declares them so", () => {
    expect(compiled("const x = 1, y = 2", ["x"]).declared).toMatchObject({ boundConstants: ["x"], constants: ["y"] });
  });

  test.each(["x }; leak = 1; {", "foo(", "x +"])("never wrap a source that does not parse: %s", (code) => {
    const { source, unparsed } = compiled(code, ["x"]);
    expect(source).toBe(code);
    expect(unparsed).toBeDefined();
  });

  test("do not change the line of anything", () => {
    expect(compiled("\n\nx.y()", ["x"]).source.split("\n")[2]).toMatch(/x\.y\(\)$/);
  });
});

describe("what only a module may have", () => {
  test.each([
    "import a from 'b'",
    "1;\n  import * as a from 'b'",
    "import 'b'",
    "export const a = 1",
    "let x; export { x }",
    "let x; \n\n  export { x }",
    "{}\u2028export default 1",
  ])("is told in words that help: %s", (code) => {
    expect(() => compiled(code)).toThrow("source_type MODULE");
  });

  test.each(["import('b')", "`\nexport const a = 1`", "import.meta"])("is not: %s", (code) => {
    expect(() => compiled(code)).not.toThrow();
  });

  // Were it looked for again from each line, that would not end in the time of a test.
  test("is not behind any number of lines of white space", () => {
    expect(() => compiled("\n".repeat(300_000))).not.toThrow();
  });
});
