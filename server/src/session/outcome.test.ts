import { describe, expect, test } from "vitest";
import { consoleEntryOf, exceptionOf } from "./outcome.js";

function framesOf(stack: string) {
  const text = JSON.stringify({ name: "Error", message: "", stack });
  return exceptionOf({ kind: "exception", execution: 1, phase: "evaluate", text }).frames;
}

describe("the frames of a stack", () => {
  test.each([
    ["    at bad (rules.js:3:14)", { functionName: "bad", filename: "rules.js", line: 3, column: 14 }],
    ["    at <eval> (a.js:1:1)", { functionName: "", filename: "a.js", line: 1, column: 1 }],
    ["    at map (native)", { functionName: "map", filename: "", line: 0, column: 0 }],
    ["    at a.js:7:2", { functionName: "", filename: "a.js", line: 7, column: 2 }],
    ["    at f (a b (c):1.js:9:8)", { functionName: "f (a b", filename: "c):1.js", line: 9, column: 8 }],
    ["    at f (a.js:5)", { functionName: "f", filename: "a.js", line: 5, column: 0 }],
  ])("are read from %s", (line, frame) => {
    expect(framesOf(`${line}\n    at top (x.js:1:1)`)[0]).toEqual(frame);
  });

  test("leave out the kernel, and the built-ins it calls guest code by", () => {
    const stack = [
      "    at set",
      "    at mine (a.js:1:2)",
      "    at apply (native)",
      "    at try",
      "    at apply (native)",
      "    at map (native)",
      "    at <eval> (a.js:1:9)",
      "    at apply (native)",
      "    at call",
      "    at forEach (native)",
      "    at enter",
      "",
    ].join("\n");
    expect(framesOf(stack).map(({ functionName }) => functionName)).toEqual(["mine", "apply", "map", ""]);
  });

  test("leave out how the kernel calls guest code where it stands between frames of that", () => {
    const stack = [
      "    at inner (a.js:2:2)",
      "    at next (native)",
      "    at apply (native)",
      "    at next",
      "    at apply (native)",
      "    at <eval> (a.js:1:9)",
      "    at enter",
      "",
    ].join("\n");
    expect(framesOf(stack).map(({ functionName }) => functionName)).toEqual(["inner", "next", "apply", ""]);
  });

  test("of a hostile stack cost no more than reading it", () => {
    const line = `    at ${" (".repeat(8_000)}\u2028x`;
    expect(framesOf(line)).toEqual([]);
  });
});

describe("a console entry", () => {
  test("has the place of its caller where the guest told it", () => {
    const entry = { level: "warn", time: 5, text: "w" };
    expect(consoleEntryOf(JSON.stringify(entry), false)).toEqual({ ...entry, undone: false });
    expect(consoleEntryOf(JSON.stringify({ ...entry, caller: "    at f (a.js:2:3)" }), true)).toEqual({
      ...entry,
      frame: { functionName: "f", filename: "a.js", line: 2, column: 3 },
      undone: true,
    });
    expect(consoleEntryOf(JSON.stringify({ ...entry, caller: "" }), false)).toEqual({ ...entry, undone: false });
  });
});
