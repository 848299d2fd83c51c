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

test("a long line with many such characters takes no time to speak of", () => {
  const before = performance.now();
  const text = new MagicString("'😀 '; a;".repeat(10_000));
  for (let at = 6; at < text.original.length; at += 9) text.appendLeft(at, "b; ");
  positionsOf(text.toString(), text);
  expect(performance.now() - before).toBeLessThan(2_000);
});

test("places count lines by line feeds, and columns in UTF-16 units", () => {
  expect(placeOf("a\r\n😀b", 5)).toEqual({ line: 2, column: 3 });
});
