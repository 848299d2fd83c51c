import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { collectGarbage } from "../engine/worker/collect-garbage.js";
import { SourceError } from "./source-error.js";
import { loadTypeScript, stripTypes } from "./typescript.js";

describe("types", () => {
  test.each([
    ["let x: number = 1; x", "let x         = 1; x"],
    ["interface A { a: 1 }\ntype B = A;\nf<B>(x!)", `${" ".repeat(20)}\n${" ".repeat(11)}\nf   (x )`],
    ["x as any satisfies B", "x                   "],
    ["let x: 'é' | '中' | '😀' = y", `let x${" ".repeat(18)} = y`],
  ])("become white space of the same length: %s", (code, stripped) => {
    expect(stripTypes(code)).toBe(stripped);
  });
});

describe("what cannot be stripped is told with its place", () => {
  test.each([
    ["enum A { B }", 1, 1],
    ["1;\n  namespace A { export const b = 1 }", 2, 3],
    ["class A { constructor(private x: number) {} }", 1, 31],
    ["let x: number = ;", 1, 17],
    ["\t\tenum A {}", 1, 3],
    ["/*中😀e\u0301*/ enum A {}", 1, 11],
    ["a;\r\n enum A {}", 2, 2],
  ])("%s", (code, line, column) => {
    let error: unknown;
    try {
      stripTypes(code);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SourceError);
    expect(error).toMatchObject({ place: { line, column } });
  });
});

test("a source that is nested too deeply is refused, and the next one is not", () => {
  expect(() => stripTypes(`let x: ${"Array<".repeat(20_000)}`)).toThrow(SourceError);
  expect(stripTypes("let x: number")).toBe("let x        ");
});

test("the compiler that such a source broke is not kept", async () => {
  const broken = new WeakRef(loadTypeScript());
  expect(() => stripTypes(`let x: ${"Array<".repeat(20_000)}`)).toThrow(SourceError);
  await setImmediate();
  collectGarbage();
  expect(broken.deref()).toBeUndefined();
});
