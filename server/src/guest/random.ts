/**
 * Two independent generators (sfc32). Their state is the host's entropy itself, in the cells, which the host writes at creation
 * and again in every fork or restored copy: so no two sessions draw the same ids or numbers.
 */
import { cells, SEED } from "./host.js";
import { defineProperty } from "./intrinsics.js";

/** Where the generator for ids has its four words of state; that of numbers has the four behind them. */
export const IDS = SEED;
const NUMBERS = SEED + 4;

/** The next 32 bits, unsigned, of the generator with its state at this cell. */
export function nextWord(at: number): number {
  const a = cells[at] as number;
  const b = cells[at + 1] as number;
  const c = cells[at + 2] as number;
  const counter = cells[at + 3] as number;
  const result = (a + b + counter) | 0;
  cells[at] = b ^ (b >>> 9);
  cells[at + 1] = c + (c << 3);
  cells[at + 2] = ((c << 21) | (c >>> 11)) + result;
  cells[at + 3] = counter + 1;
  return result >>> 0;
}

/** The engine seeds its own generator once, in the base image: all sessions would draw the same numbers. */
export function installRandom(): void {
  const random = {
    random(): number {
      // 53 bits, as the language's own.
      return ((nextWord(NUMBERS) >>> 5) * 67_108_864 + (nextWord(NUMBERS) >>> 6)) / 9_007_199_254_740_992;
    },
  }.random;
  defineProperty(Math, "random", { value: random, writable: true, enumerable: false, configurable: true });
}
