/** `URLSearchParams` of the URL standard; its parser and serializer are whatwg-url's. */
import { parseUrlencodedString, serializeUrlencoded } from "whatwg-url/lib/urlencoded.js";
import { asInterface, requireArguments } from "./webidl.js";

type Pair = [name: string, value: string];

/** A string as WebIDL's USVString: a lone surrogate becomes U+FFFD. */
export function toText(value: unknown): string {
  return (`${value as string}` as string & { toWellFormed(): string }).toWellFormed();
}

interface State {
  pairs: Pair[];
  /** Tells the URL that they are of. */
  update(): void;
}

let stateOf: (params: URLSearchParams) => State;

class URLSearchParams {
  readonly #state: State = { pairs: [], update: () => undefined };

  static {
    stateOf = (params) => params.#state;
  }

  constructor(init: unknown = "") {
    const isObject = (typeof init === "object" && init !== null) || typeof init === "function";
    this.#state.pairs = isObject ? pairsOf(init) : parseUrlencodedString(toText(init).replace(/^\?/, ""));
  }

  get size(): number {
    return this.#state.pairs.length;
  }

  append(name: unknown, value: unknown): void {
    const state = this.#state;
    requireArguments(arguments.length, 2, "append");
    // Before the pairs are looked at, here as below: it may run code that changes them.
    const pair: Pair = [toText(name), toText(value)];
    state.pairs.push(pair);
    state.update();
  }

  delete(name: unknown, value: unknown = undefined): void {
    const state = this.#state;
    requireArguments(arguments.length, 1, "delete");
    const isMeant = matcher(name, value);
    state.pairs = state.pairs.filter((pair) => !isMeant(pair));
    state.update();
  }

  get(name: unknown): string | null {
    const state = this.#state;
    requireArguments(arguments.length, 1, "get");
    const isMeant = matcher(name, undefined);
    return state.pairs.find(isMeant)?.[1] ?? null;
  }

  getAll(name: unknown): string[] {
    const state = this.#state;
    requireArguments(arguments.length, 1, "getAll");
    const isMeant = matcher(name, undefined);
    return state.pairs.filter(isMeant).map((pair) => pair[1]);
  }

  has(name: unknown, value: unknown = undefined): boolean {
    const state = this.#state;
    requireArguments(arguments.length, 1, "has");
    const isMeant = matcher(name, value);
    return state.pairs.some(isMeant);
  }

  set(name: unknown, value: unknown): void {
    const state = this.#state;
    requireArguments(arguments.length, 2, "set");
    const key = toText(name);
    const text = toText(value);
    const first = state.pairs.find((pair) => pair[0] === key);
    if (first === undefined) {
      state.pairs.push([key, text]);
    } else {
      first[1] = text;
      state.pairs = state.pairs.filter((pair) => pair === first || pair[0] !== key);
    }
    state.update();
  }

  sort(): void {
    const state = this.#state;
    state.pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    state.update();
  }

  forEach(
    callback: (value: string, name: string, params: URLSearchParams) => unknown,
    self: unknown = undefined,
  ): void {
    const state = this.#state;
    requireArguments(arguments.length, 1, "forEach");
    if (typeof callback !== "function") throw new TypeError("forEach takes a function");
    for (let i = 0; i < state.pairs.length; i++) {
      const [name, value] = state.pairs[i] as Pair;
      Reflect.apply(callback, self, [value, name, this]);
    }
  }

  entries(): object {
    return iterate(this.#state, (pair) => [pair[0], pair[1]]);
  }

  keys(): object {
    return iterate(this.#state, (pair) => pair[0]);
  }

  values(): object {
    return iterate(this.#state, (pair) => pair[1]);
  }

  toString(): string {
    return serializeUrlencoded(this.#state.pairs);
  }
}

asInterface(URLSearchParams, "URLSearchParams");
Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
  value: URLSearchParams.prototype.entries,
  writable: true,
  enumerable: false,
  configurable: true,
});

function matcher(name: unknown, value: unknown): (pair: Pair) => boolean {
  const key = toText(name);
  const text = value === undefined ? undefined : toText(value);
  return (pair) => pair[0] === key && (text === undefined || pair[1] === text);
}

/** The pairs that an object tells: as a sequence of pairs if it can be iterated, else as a record. */
function pairsOf(init: object): Pair[] {
  const iterator = (init as { [Symbol.iterator]?: unknown })[Symbol.iterator];
  if (iterator !== undefined && iterator !== null) {
    if (typeof iterator !== "function") throw new TypeError("a sequence of pairs must be iterable");
    return Array.from(init as Iterable<unknown>, toPair);
  }
  const pairs = new Map<string, string>();
  for (const key of Reflect.ownKeys(init)) {
    if (Reflect.getOwnPropertyDescriptor(init, key)?.enumerable !== true) continue;
    if (typeof key === "symbol") throw new TypeError("Cannot convert a Symbol value to a string");
    pairs.set(toText(key), toText((init as Record<string, unknown>)[key]));
  }
  return [...pairs];
}

function toPair(given: unknown): Pair {
  const isObject = (typeof given === "object" && given !== null) || typeof given === "function";
  if (!isObject || typeof (given as Partial<Iterable<unknown>>)[Symbol.iterator] !== "function") {
    throw new TypeError("Each query pair must be an iterable [name, value] tuple");
  }
  const pair = Array.from(given as Iterable<unknown>, toText);
  if (pair.length !== 2) throw new TypeError("Each query pair must be an iterable [name, value] tuple");
  return pair as Pair;
}

const ITERATOR = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;
const iterators = new WeakMap<object, () => IteratorResult<unknown>>();
const iteratorPrototype = Object.create(ITERATOR, {
  [Symbol.toStringTag]: { value: "URLSearchParams Iterator", configurable: true },
}) as object;
Object.defineProperty(iteratorPrototype, "next", {
  value: {
    next(this: object): IteratorResult<unknown> {
      const step = iterators.get(this);
      if (step === undefined) throw new TypeError("next called on what is no URLSearchParams iterator");
      return step();
    },
  }.next,
  writable: true,
  enumerable: true,
  configurable: true,
});

/** Reads the pairs as they are when it comes to them. */
function iterate(state: State, pick: (pair: Pair) => unknown): object {
  const iterator = Object.create(iteratorPrototype) as object;
  let index = 0;
  iterators.set(iterator, () => {
    const pair = state.pairs[index];
    if (pair === undefined) return { value: undefined, done: true };
    index++;
    return { value: pick(pair), done: false };
  });
  return iterator;
}

/** The parameters of a URL. @param update called when they have changed */
export function paramsOf(query: string, update: () => void): URLSearchParams {
  const params = new URLSearchParams();
  const state = stateOf(params);
  state.pairs = parseUrlencodedString(query);
  state.update = update;
  return params;
}

/** What the parameters make the query of their URL; null where there is none. */
export function queryOf(params: URLSearchParams): string | null {
  const text = serializeUrlencoded(stateOf(params).pairs);
  return text === "" ? null : text;
}

/** The URL's query has changed. */
export function setQuery(params: URLSearchParams, query: string): void {
  stateOf(params).pairs = parseUrlencodedString(query);
}

export { URLSearchParams };
