/** A guest for the tests of typed guests: its text is loaded into sessions, its type is what they are given. */

export interface Row {
  readonly id: number;
  readonly name: string;
  readonly tags?: readonly string[];
}

export const config = { currency: "EUR", limits: { most: 3 }, since: new Date(0), names: new Map([["a", 1]]) };
export const version: string = "1.0";

let total = 0;

export function inc(n: number): number {
  total += n;
  return total;
}

export async function later(text: string): Promise<string> {
  await undefined;
  return `${text}!`;
}

export const math = {
  stats: {
    mean: (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0) / numbers.length,
    me(): boolean {
      return this === math.stats;
    },
  },
  double: (n: number): number => 2 * n,
};

export class Counter {
  n: number;

  constructor(start = 0) {
    this.n = start;
  }

  static named(start: number): Counter {
    return new Counter(start);
  }

  up(by = 1): number {
    this.n += by;
    return this.n;
  }
}

export const main = new Counter(100);

export const makeCounter = (start: number): Counter => new Counter(start);
export const makeCounterLater = async (start: number): Promise<Counter> => new Counter(start);
export const read = (counter: Counter): number => counter.n;
export const adder =
  (by: number) =>
  (n: number): number =>
    n + by;

export async function mapRows(rows: readonly Row[], map: (row: Row, index: number) => unknown): Promise<unknown[]> {
  const all: unknown[] = [];
  for (const row of rows) all.push(await map(row, all.length));
  return all;
}

/** What a caller's function is given may be a function of the guest's. */
export const withAdder = async (use: (add: (n: number) => number) => number | Promise<number>): Promise<number> =>
  await use((n) => n + total);

export let made = 0;

export function* rows(count: number): Generator<Row, string> {
  for (let id = 0; id < count; id++) {
    made++;
    yield { id, name: `row ${id}` };
  }
  return "end";
}

export async function* rowsLater(count: number): AsyncGenerator<Row, void> {
  for await (const row of rows(count)) yield row;
}

/** No generator, but what can be iterated over. */
export const bag: Iterable<number> = {
  [Symbol.iterator]: () => [1, 2, 3].values(),
};
export const openBag = (): Iterable<number> => bag;
export const list = (): number[] => [4, 5];

export const fail = (text: string): never => {
  throw new RangeError(text);
};

// Names that a proxy has for itself, or must not have.
export const $value = (): string => "the guest's own $value";
// biome-ignore lint/suspicious/noThenProperty: it is what the test is about
export const promised = { then: (n: number): number => n + 1, toJSON: (): string => "json" };
// biome-ignore lint/suspicious/noThenProperty: it is what the test is about
export const makePromised = () => ({ then: (n: number): number => n + 1, deep: [{ also: (): number => 1 }] });
export const odd = { "a.b": (): string => "dotted", toString: (): string => "odd", name: "named" };
