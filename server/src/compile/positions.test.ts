import MagicString from "magic-string";
import { expect, test } from "vitest";
import { placeOf, positionsOf } from "./positions.js";

test("text within the basic plane needs no map", () => {
  expect(positionsOf("let é = '中';\nfail()")).toBeUndefined();
});

test("a character beyond it moves what stands behind it on its line, and no other", () => {
  expect(positionsOf("f('😀😀', g())\nh()")).toEqual([1, 6, 1, 8]);
});

test("text that was put in moves what stands behind it", () => {
  const text = new MagicString("a; b\nc; d");
  text.appendLeft(3, "inserted ");
  expect(positionsOf(text.toString(), text)).toEqual([1, 13, 1, 4]);
});

test("lines that were put in move all that follows", () => {
  const text = new MagicString("a;\nb;\nc;");
  text.appendLeft(3, "x;\n");
  expect(positionsOf(text.toString(), text)).toEqual([3, 1, 2, 1]);
});

test("text that was moved is found where it stood", () => {
  const text = new MagicString("first();\nsecond()");
  text.move(9, 17, 0);
  expect(positionsOf(text.toString(), text)).toEqual([1, 1, 2, 1, 1, 9, 1, 1]);
});

// Were a line counted from its beginning for each, it would not end in the time of a test.
test("a line may be long, with many such characters", () => {
  const text = new MagicString("'😀 '; a;".repeat(40_000));
  for (let at = 6; at < text.original.length; at += 9) text.appendLeft(at, "b; ");
  // Beyond a bound there is none.
  expect(positionsOf(text.toString(), text)).toBeUndefined();
});

test("places count lines by line feeds, and columns in UTF-16 units", () => {
  expect(placeOf("a\r\n😀b", 5)).toEqual({ line: 2, column: 3 });
});
