import { describe, expect, test } from "vitest";
import { compileModule } from "./module.js";

describe("a module", () => {
  test.each(["export const a = 1", "const a = 1; export { a }"])("stays as it is: %s", (code) => {
    expect(compileModule(code, "a.js", false)).toEqual({ source: code, positions: undefined, imports: [] });
  });

  test("names what it imports and exports again, each with its place, and not what it imports dynamically", () => {
    const code =
      "import a, { b } from 'one';\nimport 'two';\n export * from 'three'; export { x } from 'four'; import('five')";
    expect(compileModule(code, "a.js", false).imports).toEqual([
      { specifier: "one", place: { line: 1, column: 22 } },
      { specifier: "two", place: { line: 2, column: 8 } },
      { specifier: "three", place: { line: 3, column: 16 } },
      { specifier: "four", place: { line: 3, column: 43 } },
    ]);
  });

  // Were the lines counted from the beginning for each, it would not end in the time of a test.
  test("may have very many imports", () => {
    const { imports } = compileModule('import "a";\n'.repeat(60_000), "a.js", false);
    expect(imports.at(-1)).toEqual({ specifier: "a", place: { line: 60_000, column: 8 } });
  });

  test("of TypeScript does not import types", () => {
    const code = "import type { A } from 'types'; import { type B, c } from 'values'; let x: A = c";
    expect(compileModule(code, "a.ts", true).imports).toMatchObject([{ specifier: "values" }]);
  });

  test("knows its name where it asks for it", () => {
    const { source, positions } = compileModule("\nexport default import.meta.url", 'a"b.js', false);
    expect(source).toBe('\nimport.meta.url="a\\"b.js";export default import.meta.url');
    expect(positions).toEqual([2, 27, 2, 1]);
  });

  test.each(["import x from 'y'; )", "import x from"])("that does not parse is told: %s", (code) => {
    expect(() => compileModule(code, "a.js", false)).toThrow("Unexpected token");
  });
});
