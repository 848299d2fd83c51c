/**
 * Two independent generators (sfc32), seeded from the host's entropy whenever the host has put new entropy into the cells:
 * at creation, and again in every fork or restored copy, so that no two sessions draw the same ids or numbers.
 */
import { seedGeneration, seedWord } from "./host.js";
import { defineProperty, numberToString, padStart } from "./intrinsics.js";
import { beginTime } from "./time-origin.js";

class Generator {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  seed(a: number, b: number, c: number): void {
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = 1;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 32 random bits, unsigned. */
  next(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result;
    return result >>> 0;
  }
}

const ids = new Generator();
const numbers = new Generator();
let seen = 0;

/** Draws on new entropy if the host gave any. Called at the begin of every turn. */
export function reseedIfAsked(): void {
  const generation = seedGeneration();
  if (generation === seen) return;
  seen = generation;
  beginTime();
  ids.seed(seedWord(0), seedWord(1), seedWord(2));
  numbers.seed(seedWord(3), seedWord(4), seedWord(5));
}

/** 64 random bits as 16 hexadecimal digits. */
export function randomId(): string {
  return hex(ids.next()) + hex(ids.next());
}

function hex(word: number): string {
  return padStart(numberToString(word, 16), 8, "0");
}

/** The engine seeds its own generator once, in the base image: all sessions would draw the same numbers. */
export function installRandom(): void {
  const random = {
    random(): number {
      // 53 bits, as the language's own.
      return ((numbers.next() >>> 5) * 67_108_864 + (numbers.next() >>> 6)) / 9_007_199_254_740_992;
    },
  }.random;
  defineProperty(Math, "random", { value: random, writable: true, enumerable: false, configurable: true });
}
