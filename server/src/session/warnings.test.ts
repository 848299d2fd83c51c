import { describe, expect, test } from "vitest";
import { nameOf, warningsOf } from "./warnings.js";

const effect = (more: number) =>
  ({
    kind: "warning",
    execution: 3,
    more,
    text: JSON.stringify({ message: "Error: x", stack: "    at f (a.js:2:3)\n" }),
  }) as const;

describe("the warning of a rejection", () => {
  test("says what was rejected, and where", () => {
    const frame = { functionName: "f", filename: "a.js", line: 2, column: 3 };
    expect(warningsOf(effect(0), undefined)).toEqual([{ message: "unhandled rejection: Error: x", frame }]);
  });

  test("names whoever has ended, and counts what is not told", () => {
    const names = new Map([[3, "id-3"]]);
    expect(warningsOf(effect(7), nameOf(3, names)).map(({ message }) => message)).toEqual([
      "unhandled rejection in execution id-3, which has ended: Error: x",
      "7 more promises were rejected and nobody handled it",
    ]);
    expect(nameOf(4, names)).toBe("execution (unknown), which has ended");
    expect(nameOf(0, names)).toBe("code that no execution owns");
  });
});
