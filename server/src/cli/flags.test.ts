import { describe, expect, test } from "vitest";
import { parseCount, parseDuration, parseLabel } from "./flags.js";
import { ago, bytes, labelsText, span, table } from "./tables.js";

describe("times", () => {
  test.each([
    ["500ms", 500],
    ["30", 30_000],
    ["0.5", 500],
    ["1.5s", 1_500],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["7d", 604_800_000],
    ["36500d", 3_153_600_000_000],
  ])("are read: %s", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each(["", "0", "0ms", "-1", "soon", "1w", "1 s", "1e3", "Infinity", "36501d", `${"9".repeat(26)}d`])(
    "are refused: %j",
    (text) => {
      expect(() => parseDuration(text)).toThrow("such as 500ms");
    },
  );

  test("are told in their largest unit", () => {
    expect([0, 999, 1_000, 59_999, 60_000, 3_600_000, 90_000_000].map(span)).toEqual([
      "0 s",
      "0 s",
      "1 s",
      "59 s",
      "1 m",
      "1 h",
      "1 d",
    ]);
    expect(span(-5)).toBe("0 s");
    expect(ago(undefined)).toBe("");
  });
});

describe("counts, labels and sizes", () => {
  test("are read and told", () => {
    expect(parseCount("12")).toBe(12);
    expect(parseCount("2147483647")).toBe(2_147_483_647);
    for (const text of ["0", "-1", "1.5", "x", "", "2147483648", "9".repeat(20)])
      expect(() => parseCount(text)).toThrow("whole number");
    expect(parseLabel("a=b=c", { x: "y" })).toEqual({ x: "y", a: "b=c" });
    expect(parseLabel("a=")).toEqual({ a: "" });
    for (const text of ["a", "=b", ""]) expect(() => parseLabel(text)).toThrow("NAME=VALUE");
    expect([0, 1_023, 1_024, 10_240, 1_572_864, 2 ** 41].map(bytes)).toEqual([
      "0 B",
      "1023 B",
      "1.0 KiB",
      "10 KiB",
      "1.5 MiB",
      "2048 GiB",
    ]);
  });

  test("of labels no more than one line", () => {
    expect(labelsText({ b: "x\nfake  idle", a: "1\t2" })).toBe("a=1\\t2 b=x\\nfake  idle");
  });

  test("stand in columns", () => {
    expect(
      table(
        ["A", "LONGER"],
        [
          ["one", "1"],
          ["x", ""],
        ],
      ),
    ).toBe("A    LONGER\none  1\nx");
  });
});
