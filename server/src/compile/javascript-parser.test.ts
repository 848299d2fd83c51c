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
    expect(isRead(source.replace("(1)", "(1"))).toBe(source.replace("(1)", "(1") === source);
  });
});
