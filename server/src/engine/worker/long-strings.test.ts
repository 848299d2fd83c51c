import { describe, expect, test } from "vitest";
import { withStrings, withTexts } from "./long-strings.js";

const STRING = 6;
const GRAPH = 3;

/** An input of a number, a value in JSON text, and a text behind it. */
function inputOf(json: string) {
  return { numbers: [7, 1, json.length, 3], text: `${json}end`, strings: [1, 0], bytes: [] };
}

describe("on its way in", () => {
  test.each([
    ["ASCII", '"abc"', "abc"],
    ["with escapes", '"a\\n\\"\\u0041"', 'a\n"A'],
    ["Latin-1, as it is and in escapes", '"é\\u00e9"', "éé"],
    ["another script, as it is", '"日本"', "日本"],
    ["another script, as it is and in escapes", '"日\\u672c"', "日本"],
    ["with space around it", '"a"  ', "a"],
  ])("a string is told as it is: %s", (_what, json, string) => {
    expect(withStrings(inputOf(json))).toEqual({ numbers: [7, STRING, string.length, 3], text: `${string}end` });
  });

  test.each([
    ["NUL", '"a\\u0000"'],
    ["a lone surrogate", '"\\ud800"'],
    ["what is no JSON", '"a'],
    ["what is no string", "12"],
    // What is told beside it would become twice as wide.
    ["another script, in escapes alone", '"\\u65e5\\u672c"'],
  ])("JSON text stays: %s", (_what, json) => {
    const { numbers, text } = inputOf(json);
    expect(withStrings(inputOf(json))).toEqual({ numbers, text });
  });

  test("some of several", () => {
    const [a, b, c] = ['"\\u0000"', '"x\\ny"', '"é"'];
    const text = `first${a}${b}-${c}`;
    const numbers = [5, 1, a.length, 1, b.length, 1, 1, c.length];
    const strings = [1, 5, 3, 5 + a.length, 6, 6 + a.length + b.length];
    expect(withStrings({ numbers, text, strings, bytes: [] })).toEqual({
      numbers: [5, 1, a.length, STRING, 3, 1, STRING, 1],
      text: `first${a}x\ny-é`,
    });
  });
});

test("on their way out effects that the host has written are told so, and others stay", () => {
  const bytes = [new Uint8Array(1)];
  const texts = [
    { arm: "graph", text: "[[]]" },
    { arm: "json", text: '"one"' },
  ] as const;
  const numbers = [1, 4, STRING, 1, 8, 4, STRING, 3, 5, 4, STRING, 1, 5, 4, 1, 2];
  expect(withTexts({ numbers, text: "1why042", bytes }, texts)).toEqual({
    numbers: [1, 4, 1, 5, 8, 4, STRING, 3, 5, 4, GRAPH, 4, 5, 4, 1, 2],
    text: '"one"why[[]]42',
    bytes,
  });
});
