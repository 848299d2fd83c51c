/**
 * `npm run fuzz -- --count N --seed S --from I`: lets N random programs loose on a server of its own. Prints the seed, by which it is done
 * again; exits with 1 if the server did wrong, and keeps what made it do so in test/corpus/found.jsonl, for the tests.
 */
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Arena } from "../support/arena.js";
import { readCorpus } from "../support/hostile-corpus.js";
import { campaign, caseOf } from "./campaign.js";

const FOUND = fileURLToPath(new URL("../corpus/found.jsonl", import.meta.url));

const { values } = parseArgs({
  options: { count: { type: "string" }, seed: { type: "string" }, from: { type: "string" } },
});
const count = wholeNumber("count", values.count, 100_000);
const seed = wholeNumber("seed", values.seed, Date.now() % 1_000_000_007);
const from = wholeNumber("from", values.from, 0);

console.log(`fuzz: ${count} programs from number ${from}, seed ${seed}`);
const began = Date.now();
const { endings, faults, ...run } = await campaign({
  start: () => Arena.start(),
  seed,
  from,
  count,
  corpus: readCorpus("hostile.jsonl").flatMap(({ code = "" }) => (code === "" ? [] : [code])),
  onFault: (fault) => {
    const found = caseOf(seed, fault);
    console.log(`FAULT by program ${fault.number}: ${fault.fault.message}\n${found.code}`);
    appendFileSync(FOUND, `${JSON.stringify(found)}\n`);
  },
  onProgram: (number) => {
    if ((number + 1 - from) % 1_000 === 0)
      console.log(`${number + 1 - from} after ${Math.round((Date.now() - began) / 1000)} s`);
  },
});
for (const [ending, { times, first }] of [...endings].sort(([, one], [, other]) => other.times - one.times)) {
  console.log(`${times}\t${ending}, first program ${first}`);
}
console.log(`${run.count} programs, ${faults.length} faults, seed ${seed}`);
process.exitCode = faults.length === 0 ? 0 : 1;

function wholeNumber(name: string, text: string | undefined, unset: number): number {
  const number = text === undefined ? unset : Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} ${text}: give a whole number`);
  process.exit(2);
}
