import { describe, expect, test } from "vitest";
import { compileScript } from "./script.js";

describe("a script without top-level let, const or class", () => {
  test.each(["1 + 1", "var x = 1", "function f() { return 1 }", "("])("is left as it is: %s", (code) => {
    expect(compileScript(code, [])).toEqual({ source: code, variables: [], constants: [] });
  });
});

describe("top-level declarations", () => {
  test.each([
    ["let x = 1", "var x = 1", ["x"], []],
    ["let x", "var x = void 0", ["x"], []],
    ["let x, y = 2", "var x = void 0, y = 2", ["x", "y"], []],
    ["const K = 1", "var   K = 1", [], ["K"]],
    ["const { a, b: [c], ...d } = o", "var   { a, b: [c], ...d } = o", [], ["a", "c", "d"]],
    ["let [p = 1, , ...q] = r", "var [p = 1, , ...q] = r", ["p", "q"], []],
    ["class A {}", "var A = class A {};", ["A"], []],
    ["{ let inner = 1 } for (const i of []) {}", "{ let inner = 1 } for (const i of []) {}", [], []],
    ["function f() { const x = 1 }", "function f() { const x = 1 }", [], []],
  ])("%s", (code, source, variables, constants) => {
    expect(compileScript(code, [])).toEqual({ source, variables, constants });
  });

  test("keep lines and columns of what stands behind them", () => {
    const code = "let a = 1; const b = 2; fail()\nlet c = 3";
    const { source } = compileScript(code, []);
    expect(source.indexOf("fail")).toBe(code.indexOf("fail"));
    expect(source.split("\n")[1]).toBe("var c = 3");
  });

  test("of a source that does not parse stay, so that the engine words the error", () => {
    expect(compileScript("let x = ;", [])).toEqual({ source: "let x = ;", variables: [], constants: [] });
  });
});

describe("bindings", () => {
  const inScope = (code: string): string => `with($livescope$.takeBindings()){${code}\n}`;

  test.each([
    ["x + 1", "x + 1"],
    ["var x = 2", "void( x = 2)"],
    ["let x", "void( 0)"],
    ["var x", "void( 0)"],
    ["for (var x of xs) {}", "for (    x of xs) {}"],
    ["function x() {}", "x = function x() {};"],
    ["class x {}", "x = class x {};"],
    ["let y = x", "var y = x"],
  ])("are found before names of the session: %s", (code, source) => {
    expect(compileScript(code, ["x"]).source).toBe(inScope(source));
  });

  test("leave function declarations to the session", () => {
    expect(compileScript("function f() { return x }", ["x"]).source).toBe(
      inScope("$livescope$.declareFunctions({f});function f() { return x }"),
    );
  });

  test.each(["x }; leak = 1; {", "foo(", "x +"])("never wrap a source that does not parse: %s", (code) => {
    expect(compileScript(code, ["x"])).toEqual({
      source: code,
      variables: [],
      constants: [],
      refusal: "this source cannot be compiled",
    });
  });

  test("do not change the line of anything", () => {
    expect(compileScript("\n\nx()", ["x"]).source.split("\n").indexOf("x()")).toBe(2);
  });
});
