/** Programs that have broken sandboxes break nothing here: each is answered as it must be, in time, and nobody else notices. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Arena } from "./support/arena.js";
import { readCorpus, runCase } from "./support/hostile-corpus.js";
import { isLong } from "./support/is-long.js";

const CASES = readCorpus("hostile.jsonl");
const GROUPS = new Set(CASES.map(({ group }) => group));
/** What random programs have found, see test/fuzz. */
const FOUND = readCorpus("found.jsonl");

/** `.ci/run` waits for all of them; else every other one is run, and of those that take long one of each group. */
const CHOSEN = isLong ? CASES : quickOnes();

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.start();
});
// The canary has counted each of its calls once.
afterAll(() => arena?.close());

test("the corpus has all its cases", () => {
  expect(CASES).toHaveLength(353);
  expect(GROUPS.size).toBe(19);
});

test.each([...CHOSEN, ...FOUND].map((hostile) => [hostile.id, hostile] as const))(
  "%s",
  { timeout: 120_000 },
  async (_id, hostile) => {
    await arena.survive(() => runCase(arena, hostile));
    // What came out of a guest was read in this process.
    expect([Object.prototype, Array.prototype, Function.prototype].flatMap((proto) => Object.keys(proto))).toEqual([]);
    expect(Reflect.get({}, "polluted")).toBeUndefined();
  },
);

test("the memory that they took is the server's again", async () => {
  // Each of dozens of them filled its session's 64 MiB.
  expect(await arena.residentBytes()).toBeLessThan(768 * 1024 * 1024);
});

function quickOnes(): typeof CASES {
  const slowOf = new Map(CASES.filter(({ slow }) => slow).map((hostile) => [hostile.group, hostile]));
  return CASES.filter((hostile, i) => (hostile.slow ? slowOf.get(hostile.group) === hostile : i % 2 === 0));
}
