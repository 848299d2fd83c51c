import { GuestError, Preview } from "@livescope/sdk";
import { describe, expect, test } from "vitest";
import { describeGuestError } from "./guest-error.js";
import { plain, printable } from "./terminal.js";
import { onOneLine, printed, valueAsJson } from "./values.js";

describe("text of guests on a terminal", () => {
  test.each([
    ["stays as it is", "a\tb\nc é 😀", "a\tb\nc é 😀"],
    ["keeps its colours", "\u001b[31mred\u001b[0m \u001b[1;38;5;208mx", "\u001b[31mred\u001b[0m \u001b[1;38;5;208mx"],
    ["moves no cursor", "\u001b[2J\u001b[1;1Hx\r", "\\x1b[2J\\x1b[1;1Hx\\x0d"],
    ["sets no title", "\u001b]0;title\u0007", "\\x1b]0;title\\x07"],
    ["has no other control characters", "\u0000\u0008\u007f\u0085\u009b31m", "\\x00\\x08\\x7f\\x85\\x9b31m"],
    ["hides none behind what looks like a colour", "\u0007[31m\n[31m", "\\x07[31m\n[31m"],
  ])("%s", (_, text, shown) => {
    expect(printable(text)).toBe(shown);
  });
});

function thrown(source: string, column: number): string[] {
  const details = { executionId: "", console: [], consoleTruncated: false, warnings: [], undone: false };
  const usage = { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, memoryBytes: 0, turns: 1, hostCalls: 0 };
  const frames = [{ functionName: "f", filename: "a.js", line: 1, column }];
  const error = new GuestError("no", { ...details, usage }, { guestName: "TypeError", guestStack: "", frames });
  return describeGuestError(error, { filename: "a.js", text: source }, plain).split("\n");
}

describe("what a guest threw", () => {
  test("is shown with its line, and of a long line with the part around it", () => {
    expect(thrown("\tnull.x", 6)).toEqual([
      "a.js:1",
      "\tnull.x",
      "\t    ^",
      "",
      "Uncaught TypeError: no",
      "    at f (a.js:1:6)",
    ]);
    const [, line = "", mark = ""] = thrown(`${"a".repeat(500)}!${"b".repeat(500)}`, 501);
    expect(line.length).toBeLessThanOrEqual(120);
    expect(line[mark.indexOf("^")]).toBe("!");
    const [, end = "", endMark = ""] = thrown(`${"a".repeat(500)}!`, 501);
    expect(end[endMark.indexOf("^")]).toBe("!");
  });

  test("is shown without a line where the source has none", () => {
    expect(thrown("", 0)[0]).toBe("a.js:1");
    const details = { executionId: "", console: [], consoleTruncated: false, warnings: [], undone: false };
    const usage = { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, memoryBytes: 0, turns: 1, hostCalls: 0 };
    const error = new GuestError("5", { ...details, usage }, { guestName: "", guestStack: "", frames: [] });
    expect(describeGuestError(error, undefined, plain)).toBe("Uncaught 5");
  });
});

describe("values", () => {
  const preview = new Preview({
    handleId: "",
    type: "function",
    className: "Function",
    preview: "[Function: f]",
    arity: 0,
  });

  test("are printed as node prints them, what stayed in its session by its preview", () => {
    expect(printed("a\nb", false)).toBe("a\nb");
    expect(printed({ f: preview, s: "x" }, false)).toBe("{ f: [Function: f], s: 'x' }");
    expect(onOneLine("x".repeat(1_000))).toHaveLength(200);
    expect(onOneLine({ a: [1, { b: 2 }], c: "d".repeat(90) })).not.toContain("\n");
  });

  test("are in JSON where JSON gives them back", () => {
    const same = { a: 1 };
    for (const value of [null, 0, "x", true, [1, [2]], { a: [same, same] }]) {
      expect(valueAsJson(value)).toHaveProperty("value", value);
    }
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const value of [
      undefined,
      Number.NaN,
      -0,
      1n,
      new Date(0),
      new Map(),
      [undefined],
      preview,
      cycle,
      new Array(2),
    ]) {
      expect(valueAsJson(value)).toEqual({ preview: expect.any(String) });
    }
  });
});
