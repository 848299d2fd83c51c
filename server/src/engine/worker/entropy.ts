/** What a session draws its random numbers and ids from. */
import { randomFillSync } from "node:crypto";
import { Cell, KEY_WORDS, type Layout, SEED_WORDS } from "./layout.js";

const entropy = new Int32Array(SEED_WORDS + KEY_WORDS);

/** Gives a session other entropy. No turn of it may run. */
export function seed(memory: WebAssembly.Memory, layout: Layout): void {
  randomFillSync(entropy);
  const cells = layout.cells >> 2;
  const words = new Int32Array(memory.buffer);
  words.set(entropy.subarray(0, SEED_WORDS), cells + Cell.SEED);
  words.set(entropy.subarray(SEED_WORDS), cells + Cell.KEY);
  words[cells + Cell.SEED_GENERATION] = ((words[cells + Cell.SEED_GENERATION] ?? 0) + 1) | 0;
}
