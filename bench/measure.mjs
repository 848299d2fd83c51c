/**
 * Measures operations against each other: one client alternates short blocks over all of them, so that whatever else the
 * machine does meets each alike, and every figure is a median over the rounds.
 */
import { readdirSync, readFileSync } from "node:fs";

/**
 * @typedef {object} Target something to measure
 * @property {string} name
 * @property {(i: number) => Promise<unknown>} run one operation
 * @property {boolean} [timesItself] `run` resolves with the milliseconds that count, in place of all it took
 * @property {number} [pid] the process that serves it, for its CPU time
 */

/**
 * @typedef {object} Block one target in one round
 * @property {number} p50 milliseconds
 * @property {number} perSecond
 * @property {number} cpu microseconds of CPU time per operation of the process that serves it; NaN where not known
 * @property {number} mainCpu of it, microseconds on the main thread
 */

/**
 * @typedef {object} Measured the rounds of a group
 * @property {(name: string) => Block} of medians of a target
 * @property {(name: string, reference: string, key?: keyof Block) => Spread} ratio of two targets, round by round
 */

/** @typedef {{ median: number, lower: number, upper: number }} Spread quartiles of the rounds */

/**
 * @param {readonly Target[]} targets
 * @param {{ inFlight: number, rounds: number, milliseconds: number, operations?: number }} options `operations`: the fewest
 *   of one block, whatever time they take
 * @returns {Promise<Measured>}
 */
export async function interleave(targets, options) {
  const blocks = new Map(targets.map(({ name }) => [name, []]));
  const counters = new Map(targets.map(({ name }) => [name, 0]));
  for (let round = -1; round < options.rounds; round++) {
    // Round -1 warms up. Each round begins with another target, so that none always follows the same.
    for (let i = 0; i < targets.length; i++) {
      const target = targets[(i + round + 1) % targets.length];
      const block = await runBlock(target, options, counters);
      if (round >= 0) blocks.get(target.name)?.push(block);
    }
  }
  return {
    of: (name) => {
      const of = (key) => median(blocks.get(name).map((block) => block[key]));
      return { p50: of("p50"), perSecond: of("perSecond"), cpu: of("cpu"), mainCpu: of("mainCpu") };
    },
    ratio: (name, reference, key = "p50") => {
      const references = blocks.get(reference);
      return spread(blocks.get(name).map((block, i) => block[key] / references[i][key]));
    },
  };
}

async function runBlock(target, { inFlight, milliseconds, operations = inFlight }, counters) {
  const samples = [];
  let started = 0;
  const cpuBefore = cpuTime(target.pid);
  const begin = performance.now();
  const until = begin + milliseconds;
  const lane = async () => {
    while (started < operations || performance.now() < until) {
      started++;
      const i = counters.get(target.name);
      counters.set(target.name, i + 1);
      const start = performance.now();
      const result = await target.run(i);
      samples.push(target.timesItself === true ? result : performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const elapsed = performance.now() - begin;
  const cpuAfter = cpuTime(target.pid);
  return {
    p50: median(samples),
    perSecond: (samples.length / elapsed) * 1000,
    cpu: (cpuAfter.all - cpuBefore.all) / samples.length,
    mainCpu: (cpuAfter.main - cpuBefore.main) / samples.length,
  };
}

/** Runs `count` operations with `inFlight` at a time. @returns milliseconds of each, and of all together */
export async function runAll(count, inFlight, run) {
  const samples = [];
  let next = 0;
  const begin = performance.now();
  const lane = async () => {
    while (next < count) {
      const i = next++;
      const start = performance.now();
      await run(i);
      samples.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { p50: median(samples), elapsed: performance.now() - begin };
}

/** @returns microseconds that the threads of a process have run; NaN where the system does not tell */
function cpuTime(pid) {
  let all = 0;
  let main = 0;
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const [nanoseconds] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ");
      all += Number(nanoseconds) / 1000;
      if (task === String(pid)) main = Number(nanoseconds) / 1000;
    }
  } catch {
    return { all: Number.NaN, main: Number.NaN };
  }
  return { all, main };
}

export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median, and the middle half of the rounds: those outside it tell about the neighbours. */
function spread(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (part) => sorted[Math.round((sorted.length - 1) * part)];
  return { median: median(values), lower: at(0.25), upper: at(0.75) };
}

/** Medians of several arms that take turns, by their names. @param arms each gives what it took */
export async function inTurn(arms, rounds = 300) {
  const taken = Object.fromEntries(Object.keys(arms).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, arm] of Object.entries(arms)) taken[name].push(await arm());
  }
  return Object.fromEntries(Object.entries(taken).map(([name, times]) => [name, median(times)]));
}
