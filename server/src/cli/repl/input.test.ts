import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { highlight } from "./highlight.js";
import { HISTORY_SIZE, History, historyFile } from "./history.js";
import { asTyped, isUnfinished } from "./unfinished.js";

describe("input", () => {
  test.each([
    "function f() {",
    "f(",
    "[1,",
    "let a =",
    "`text",
    "`${",
    "/* comment",
    "'goes on \\",
    "if (a)",
    "a ? b :",
    "class A {\n  x = 1",
    "async () => {\n  await",
  ])("goes on in the next line: %j", (text) => {
    expect(isUnfinished(text)).toBe(true);
  });

  test.each(["1", "", "let a = ;", "f())", "'open", "await x", "let a; let a", "}", "a b", "import 'x'", "`x`", "/[/"])(
    "is what it is: %j",
    (text) => {
      expect(isUnfinished(text)).toBe(false);
    },
  );

  test.each([
    ["{ a: 1 }", "({ a: 1 }\n)"],
    ["{}", "({}\n)"],
    ["{ a }", "({ a }\n)"],
    ["{ a: 1 } // so", "({ a: 1 } // so\n)"],
    ["{ a: 1 };", "{ a: 1 };"],
    ["{ let a = 1 }", "{ let a = 1 }"],
    ["1 + 1", "1 + 1"],
  ])("that people take for an object is one: %s", (text, run) => {
    expect(asTyped(text)).toBe(run);
  });
});

describe("colours of values", () => {
  const mark = (text: string): string => highlight(text, (style, token) => `<${style} ${token}>`);

  test.each([
    ["{ a: 1, b1: -2.5, c: 'x 3' }", "{ a: <yellow 1>, b1: <yellow -2.5>, c: <green 'x 3'> }"],
    [
      "[ null, undefined, true, 10n, NaN ]",
      "[ <bold null>, <gray undefined>, <yellow true>, <yellow 10n>, <yellow NaN> ]",
    ],
    ["Map(2) { 'it\\'s' => [Function: f] }", "Map(2) { <green 'it\\'s'> => <cyan [Function: f]> }"],
    ["[ 1, ... 100 more items ]", "[ <yellow 1>, ... 100 more items ]"],
    ["{ null: 1, true: Foo2 {} }", "{ null: <yellow 1>, true: Foo2 {} }"],
    [
      "{ d: 1970-01-01T00:00:00.000Z, s: Symbol(q) }",
      "{ d: <magenta 1970-01-01T00:00:00.000Z>, s: <green Symbol(q)> }",
    ],
    ["{ a: [Object], b: [Getter/Setter] }", "{ a: <cyan [Object]>, b: <cyan [Getter/Setter]> }"],
  ])("are those of what they are: %s", (text, coloured) => {
    expect(mark(text)).toBe(coloured);
  });

  test("are left out of a text that would take long to look through", () => {
    const numbers = (count: number): string => "1 ".repeat(count);
    expect(mark(numbers(4_096))).toBe("<yellow 1> ".repeat(4_096));
    expect(mark(numbers(4_097))).toBe(numbers(4_097));
  });
});

describe("the history", () => {
  test("is kept, newest first, and cut when it is long", () => {
    const folder = mkdtempSync(join(tmpdir(), "livescope-history-"));
    try {
      const file = join(folder, "deep", "history");
      const history = new History(file);
      for (const line of ["one", " ", "two"]) history.add(line);
      expect(new History(file).lines).toEqual(["two", "one"]);
      writeFileSync(file, Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`).join(""));
      const { lines } = new History(file);
      expect([lines.length, lines[0]]).toEqual([HISTORY_SIZE, "line 4999"]);
      expect(readFileSync(file, "utf8").split("\n")).toHaveLength(HISTORY_SIZE + 1);
      const unusable = new History(folder);
      unusable.add("x");
      expect(unusable.lines).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is where the environment says", () => {
    expect(historyFile({ LIVESCOPE_HISTORY: "/x" })).toBe("/x");
    expect(historyFile({ LIVESCOPE_HISTORY: "", XDG_STATE_HOME: "/s" })).toBeUndefined();
    expect(historyFile({ XDG_STATE_HOME: "/s" })).toBe("/s/livescope/history");
    expect(historyFile({})).toMatch(/[\\/]\.livescope_history$/);
    expect(new History(undefined).lines).toEqual([]);
  });
});
