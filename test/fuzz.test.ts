/** Random programs do no harm; and were they to do some, it would be found and told with the smallest program that does it. */
import { describe, expect, test } from "vitest";
import { campaign, caseOf } from "./fuzz/campaign.js";
import { judge } from "./fuzz/oracle.js";
import { programOf } from "./fuzz/programs.js";
import { reduce } from "./fuzz/reduce.js";
import { Arena } from "./support/arena.js";
import { readCorpus } from "./support/hostile-corpus.js";
import { isLong } from "./support/is-long.js";

/** `.ci/run` wants more of them, and other ones each time; `npm run fuzz` as many as one likes. */
const [PROGRAMS, SEED] = isLong ? [2_000, Date.now() % 1_000_000_007] : [15, 1];
const CORPUS = readCorpus("hostile.jsonl").flatMap(({ code = "" }) => (code === "" ? [] : [code]));

test(`${PROGRAMS} random programs do no harm`, { timeout: 600_000 }, async () => {
  console.log(`again: npm run fuzz -- --count ${PROGRAMS} --seed ${SEED}`);
  const { faults, endings } = await campaign({
    start: () => Arena.start(),
    seed: SEED,
    count: PROGRAMS,
    corpus: CORPUS,
  });
  expect(faults.map((fault) => JSON.stringify(caseOf(SEED, fault)))).toEqual([]);
  // They do not all go wrong in the same place.
  expect(endings.size).toBeGreaterThanOrEqual(3);
});

test("the same seed gives the same programs, and another one others", () => {
  const programs = (seed: number): unknown => Array.from({ length: 50 }, (_, i) => programOf(seed, i, CORPUS));
  expect(programs(1)).toEqual(programs(1));
  expect(programs(1)).not.toEqual(programs(2));
});

test("what fails is reduced to what it takes to fail", async () => {
  const code = "let a = 1; for (const b of [1, 2]) { try { a += b } catch { f(a) } }\nreturn a";
  expect(await reduce(code, async (text) => text.includes("try") && text.includes("f("))).toBe("tryf(");
});

/** A server that does wrong where guest code says this word. */
function plant(bug: string, word: string): () => Promise<Arena> {
  const preload = new URL(`./fuzz/planted-bug.mjs?bug=${bug}&word=${word}`, import.meta.url).href;
  return () => Arena.start(preload);
}

const BUGS = [
  ["mistake", "40 + 2 is 43 afterwards"],
  ["exit", "the server ended: code 7"],
  ["stall", "answer"],
  ["worker", "worker threads ended that nobody ended"],
  ["pollute", "the server's own Object were changed"],
] as const;

describe("a bug that is planted in the server", () => {
  test.each(isLong ? BUGS : BUGS.slice(0, 1))("is seen: %s", async (bug, fault) => {
    await using arena = await plant(bug, "species")();
    expect(await judge(arena, { mode: "script", code: "1" })).toEqual({ ending: "value", session: "lives" });
    const verdict = await judge(arena, { mode: "script", code: "Symbol.species" });
    expect("fault" in verdict ? verdict.fault.message : "nothing is wrong").toContain(fault);
  });

  test.runIf(isLong)(
    "is found by a random program, which is reduced to what it takes",
    { timeout: 180_000 },
    async () => {
      const { faults } = await campaign({
        start: plant("mistake", "species"),
        seed: 1,
        count: 100,
        corpus: [],
        mostFaults: 1,
      });
      expect(faults.map((fault) => caseOf(1, fault))).toMatchObject([{ group: "found", code: "species" }]);
    },
  );
});
