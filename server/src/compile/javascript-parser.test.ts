import * as acorn from "acorn";
import { describe, expect, test } from "vitest";
import { parse } from "./javascript-parser.js";

const isRead = (source: string): boolean => {
  try {
    return parse(source, { ecmaVersion: "latest", sourceType: "script" }).type === "Program";
  } catch {
    return false;
  }
};

describe("a / behind yield or await", () => {
  test.each([
    "(async function* () { yield /[(]/ })",
    "const f = async function* named() { const re = yield /[(]/g; yield /[(]/ }",
    "(async function* () { (async function () { await /[(]/ }); yield /[(]/ })",
    "(function* () { yield /[(]/ })",
    "async function* f() { yield /[(]/ }",
    "({ async *m() { yield /[(]/ }, *n() { yield /[(]/ } })",
    "class A { async *m() { yield /[(]/ } static *n() { { let a } yield /[(]/ } }",
    "({ *m() { const f = () => 1; class B { o() { return 1 } } yield /[(]/ } })",
    "({ *m() { const f = () => 1\n yield /[(]/ } })",
    "class A { *m() { function* f() {} yield /[(]/ } }",
    "(function* () { yield /=[(]/ })",
    "(async function () { await /=[(]/ })",
  ])("begins a regular expression in a generator: %s", (source) => {
    expect(isRead(source)).toBe(true);
  });

  test.each([
    "var yield = 4; yield / 2 / 1",
    "(async function () { yield / 2 / (1) })",
    "(async function* () { (function () { yield / 2 / (1) }) })",
    "(async function* () {}); yield / 2 / (1)",
    "async function* f() {} yield / 2 / (1)",
    "({ *m() { (function () { yield / 2 / (1) }) } })",
    "(function* () { ({ m() { yield / 2 / (1) } }) })",
    "(async function* () { () => yield / 2 / (1) })",
    "(async function* () { a?.yield / 2 / (1) })",
    "(function* () { a.yield / 2 / (1) })",
    "a?.in / 2 / (1)",
    "a?.of / 2 / (1)",
    "a?.class / 2 / (1); ({}) / 1",
  ])("is a division elsewhere: %s", (source) => {
    expect(isRead(source)).toBe(true);
    // Within a regular expression the parenthesis would be missed by nobody.
    if (source.includes("(1)")) expect(isRead(source.replace("(1)", "(1"))).toBe(false);
  });
});

describe("names of a scope", () => {
  const declarations = ["let a;", "var a;", "function a() {}", "class a {}", "try {} catch (a) { var a }", "{ var a }"];
  const places = [
    (first: string, then: string) => `${first} ${then}`,
    (first: string, then: string) => `{ ${first} ${then} }`,
    (first: string, then: string) => `${first} { ${then} }`,
    (first: string, then: string) => `{ ${first} } ${then}`,
    (first: string, then: string) => `{ { ${first} } ${then} }`,
    (first: string, then: string) => `function f(a) { ${first} { ${then} } }`,
    (first: string, then: string) => `var a; class A { static { { ${first} } ${then} } }`,
    (first: string, then: string) => `switch (1) { case 1: ${first} default: ${then} } export { a }`,
  ];
  const options = (sourceType: "script" | "module"): acorn.Options => ({ ecmaVersion: "latest", sourceType });
  const complaint = (read: typeof acorn.parse, source: string, sourceType: "script" | "module"): string => {
    try {
      read(source, options(sourceType));
      return "";
    } catch (error) {
      return String(error);
    }
  };

  test("are declared where acorn lets them", () => {
    for (const place of places) {
      for (const first of declarations) {
        for (const then of declarations) {
          const source = place(first, then);
          for (const type of ["script", "module"] as const)
            expect(complaint(parse, source, type), source).toBe(complaint(acorn.parse, source, type));
        }
      }
    }
  });

  // Were each looked for among all others, it would not end in the time of a test.
  test("may be very many", () => {
    const source = Array.from({ length: 80_000 }, (_, i) => `let a${i}; `).join("");
    expect(parse(source, options("script")).body).toHaveLength(80_000);
  });
});
