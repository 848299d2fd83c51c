/** Programs that have broken sandboxes break nothing here: each is answered as it must be, and nobody else notices. */
import type { Session } from "@livescope/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { casesOf, runCase } from "./support/hostile-corpus.js";
import { withServer } from "./support/server.js";

/** Groups of the corpus that are run. */
const GROUPS = [
  "marshal",
  "errors",
  "throw",
  "unicode",
  "numeric",
  "date",
  "binary",
  "structure",
  "syntax",
  "scope",
  "session",
];

/** Cases that this version does not pass, with what they need. One that passes must leave the list. */
const NOT_YET: Readonly<Record<string, string>> = {};

const CASES = casesOf(GROUPS);
const served = withServer();
let canary: Session;
let counted = 0;

beforeAll(async () => {
  canary = await served.client.createSession({ setup: "let count = 0; function next() { return ++count }" });
});
afterAll(() => canary?.[Symbol.asyncDispose]());

test("every group has cases, and what is not passed yet is one of them", () => {
  expect(GROUPS.filter((group) => !CASES.some((hostile) => hostile.group === group))).toEqual([]);
  expect(Object.keys(NOT_YET).filter((id) => !CASES.some((hostile) => hostile.id === id))).toEqual([]);
});

for (const hostile of CASES) {
  const needed = NOT_YET[hostile.id];
  const name = needed === undefined ? hostile.id : `${hostile.id} is not passed yet: it needs ${needed}`;
  test(name, { fails: needed !== undefined }, async () => {
    await runCase(served.client, hostile);
    // The server, other sessions and the prototypes of its process are as they were.
    expect(await canary.call("next")).toBe(++counted);
    expect([Object.prototype, Array.prototype, Function.prototype].flatMap((proto) => Object.keys(proto))).toEqual([]);
    expect(Reflect.get({}, "polluted")).toBeUndefined();
  });
}
