/** Random programs, biased to what has broken engines and sandboxes: traps, getters, coercions, resizes, loops without end. */
import type { Random } from "./random.js";

const NAMES = ["a", "b", "c", "f", "g", "o", "p", "s"];
const GLOBALS = [
  "Object Function Array Number String Boolean Symbol BigInt Date RegExp Map Set WeakMap WeakRef Proxy Promise Error TypeError",
  "AggregateError ArrayBuffer DataView Uint8Array Float64Array BigInt64Array Iterator FinalizationRegistry globalThis Math JSON",
  "Reflect URL URLSearchParams TextEncoder TextDecoder AbortController Event EventTarget DOMException Locals AsyncContext",
  "structuredClone locals emit console crypto performance queueMicrotask setTimeout setInterval clearTimeout reportError atob btoa",
].flatMap((line) => line.split(" "));
const KEYS = [
  "then toJSON valueOf toString constructor prototype __proto__ length name message stack cause get set next return throw",
  "value done has ownKeys x y raw flags lastIndex buffer size resize",
].flatMap((line) => line.split(" "));
const SYMBOLS = [
  "iterator",
  "asyncIterator",
  "toPrimitive",
  "species",
  "hasInstance",
  "toStringTag",
  "unscopables",
  "isConcatSpreadable",
];
const LITERALS = [
  ..."0 -0 1 -1 NaN Infinity 1e9 2**31 2**53-1 1.5 5e-324 0n 1n -1n 2n**64n null undefined true false".split(" "),
  ...[
    '""',
    '"x"',
    '"\\ud800"',
    '"\\u0000"',
    '"__proto__"',
    '"a".repeat(1e5)',
    "/(a+)+b/",
    "/./gu",
    "`x`",
    "[]",
    "{}",
    "[,1]",
  ],
];
const METHODS = [
  "map filter forEach reduce sort join concat splice push pop slice fill includes indexOf flat flatMap copyWithin reverse with",
  "toString valueOf replace replaceAll split match matchAll normalize padEnd repeat charAt localeCompare test exec compile",
  "call apply bind then catch finally next return throw get set has add delete clear keys entries values from of resolve reject all",
  "race any assign freeze seal defineProperty getPrototypeOf setPrototypeOf ownKeys construct stringify parse log table error dir",
  "with resize transfer subarray setInt32 getFloat64 encode decode abort dispatchEvent addEventListener deref register revocable",
].flatMap((line) => line.split(" "));
const BINARY = [
  "+",
  "-",
  "*",
  "/",
  "%",
  "**",
  "<",
  ">",
  "==",
  "===",
  "&",
  "|",
  "^",
  "<<",
  ">>>",
  "&&",
  "||",
  "??",
  "in",
  "instanceof",
  ",",
];
const TRAPS = [
  "get",
  "set",
  "has",
  "ownKeys",
  "getPrototypeOf",
  "getOwnPropertyDescriptor",
  "apply",
  "construct",
  "deleteProperty",
  "defineProperty",
];

/** What the names stand for at first. */
const PRELUDE =
  "var a = [1, 2], b = { x: 1 }, c = 1, f = (x) => x, g = (function* () { yield 1 })(), o = new Map([[1, 2]]), p = Promise.resolve(1), s = 'x';";

/** Where code stands: what it may say there. */
interface Place {
  readonly returns: boolean;
  readonly yields: boolean;
  readonly awaits: boolean;
  readonly breaks: boolean;
  readonly isStrict: boolean;
}

const PROGRAM: Place = { returns: false, yields: false, awaits: true, breaks: false, isStrict: false };

/** A program of a few statements, which parses. @param isStrict as modules are */
export function grammarProgram(random: Random, isStrict: boolean): string {
  return new Grammar(random, { ...PROGRAM, isStrict }).program();
}

/** One expression. */
export function grammarExpression(random: Random): string {
  return new Grammar(random, { ...PROGRAM, isStrict: true, awaits: false }).expression(2);
}

class Grammar {
  readonly #random: Random;
  #place: Place;
  /** What may still be written: what nests has an end. */
  #left = 50;
  #fresh = 0;

  constructor(random: Random, place: Place) {
    this.#random = random;
    this.#place = place;
  }

  program(): string {
    const count = 1 + this.#random.below(6);
    const lines = Array.from({ length: count }, () => {
      const statement = this.#statement(4);
      // Most go wrong, and what comes after them shall run nonetheless.
      return this.#random.onceIn(4) ? statement : `try { ${statement} } catch (e) {}`;
    });
    if (this.#random.onceIn(2)) lines.push(this.expression(3));
    return [PRELUDE, ...lines].join("\n");
  }

  expression(depth: number): string {
    const random = this.#random;
    if (depth <= 0 || this.#left-- <= 0) return random.one([this.#name(), random.one(LITERALS), random.one(GLOBALS)]);
    const next = (): string => this.expression(depth - 1);
    const forms = [
      () => `${this.#receiver(depth)}.${random.one(METHODS)}(${this.#list(depth)})`,
      () => `${random.one(GLOBALS)}.${random.one(METHODS)}(${this.#list(depth)})`,
      () => `${random.one(GLOBALS)}.prototype.${random.one(METHODS)}.call(${next()}, ${this.#list(depth)})`,
      () => `new ${random.one(GLOBALS)}(${this.#list(depth)})`,
      () => `${this.#name()}(${this.#list(depth)})`,
      () => `((${next()}) ${random.one(BINARY)} (${next()}))`,
      () => `(${this.#target(depth)} = ${next()})`,
      () => `${random.one(["typeof", "void", "!", "~", "-", "+"])}(${next()})`,
      () => `delete (${this.#receiver(depth)}).${random.one(KEYS)}`,
      () => `((${next()}) ? (${next()}) : (${next()}))`,
      () => `[${this.#list(depth)}${random.onceIn(2) ? `, ...[${next()}]` : ""}]`,
      () => `({ ${Array.from({ length: random.below(4) }, () => this.#property(depth - 1)).join(", ")} })`,
      () => `new Proxy(${random.onceIn(2) ? "{}" : next()}, { ${this.#traps(depth)} })`,
      () => `(function ${this.#name()}(${this.#name()}) ${this.#body(depth - 1)})`,
      () => `(function* ${this.#name()}() ${this.#body(depth - 1, { yields: true })})()`,
      () => `((${this.#name()}, ...rest) => ${this.#body(depth - 1)})`,
      () => `(async (${this.#name()}) => ${this.#body(depth - 1, { awaits: true })})()`,
      () => `(async function* () ${this.#body(depth - 1, { awaits: true, yields: true })})()`,
      () =>
        `(class ${random.onceIn(2) ? `extends (${this.#inside({ isStrict: true }, next)}) ` : ""}{ static ${this.#classProperty(depth - 1)} })`,
      () => `\`\${${next()}}\``,
      () =>
        `eval(${JSON.stringify(this.#inside({ returns: false, yields: false, awaits: false, breaks: false }, next))})`,
      () =>
        `Function(${JSON.stringify(`return ${this.#inside({ yields: false, awaits: false, isStrict: false }, next)}`)})()`,
      () => `new Uint8Array(new ArrayBuffer(64, { maxByteLength: ${random.one(["64", "1e5", "2**30"])} }))`,
      () => `structuredClone(${next()})`,
      () =>
        `locals.with({ ${this.#name()}: ${next()} }, () => (${this.#inside({ awaits: false, yields: false }, next)}))`,
      () => `setTimeout(() => ${this.#body(depth - 1)}, ${random.below(3)})`,
      () => `new Promise((${this.#name()}) => ${this.#body(depth - 1)})`,
      () => `console.${random.one(["log", "table", "error", "dir"])}(${this.#list(depth)})`,
      () => `hostEcho(${next()})`,
    ];
    if (this.#place.awaits) forms.push(() => `(await (${next()}))`);
    if (this.#place.yields) forms.push(() => `(yield (${next()}))`);
    return random.one(forms)();
  }

  #statement(depth: number): string {
    const random = this.#random;
    if (depth <= 0 || this.#left-- <= 0) return `${this.#plain(1)};`;
    const next = (): string => this.expression(depth - 1);
    const block = (): string => this.#block(depth - 1);
    const loop = (): string => this.#inside({ breaks: true }, block);
    const forms = [
      () => `var ${this.#name()} = ${next()};`,
      () => `${random.one(["let", "const"])} v${this.#fresh++} = ${next()};`,
      () => `var { ${this.#name()} = ${next()}, ...${this.#name()} } = ${next()};`,
      () => `${this.#plain(depth)};`,
      () => `${this.#plain(depth)};`,
      () => `${this.#target(depth)} = ${next()};`,
      () =>
        `Object.defineProperty(${random.one(GLOBALS)}.prototype, "${random.one(KEYS)}", { get() ${this.#body(depth - 1)}, configurable: true });`,
      () => `try ${block()} catch (e) ${block()}`,
      () => `try ${block()} finally ${block()}`,
      () => `if (${next()}) ${block()} else ${block()}`,
      () => `for (let i = 0; i < ${random.one(["3", "100", "1e4", "1e9"])}; i++) ${loop()}`,
      () => `for (const e of ${next()}) ${loop()}`,
      () => `for (const e in ${next()}) ${loop()}`,
      () => (random.onceIn(3) ? `while (true) ${loop()}` : `do ${loop()} while (${next()})`),
      () =>
        `var ${this.#name()} = function (${this.#name()}, y = ${this.#inside({ awaits: false, yields: false }, next)}) ${this.#body(depth - 1)};`,
      () => `throw ${next()};`,
      () =>
        `switch (${next()}) { case ${next()}: ${this.#statement(depth - 1)} default: ${this.#statement(depth - 1)} }`,
    ];
    if (!this.#place.isStrict) forms.push(() => `with (${next()}) ${block()}`);
    if (this.#place.awaits) forms.push(() => `for await (const e of ${next()}) ${loop()}`);
    if (this.#place.returns) forms.push(() => `return ${next()};`);
    if (this.#place.breaks) forms.push(() => random.one(["break;", "continue;"]));
    return random.one(forms)();
  }

  /** An expression that may stand where a statement may. */
  #plain(depth: number): string {
    return `(${this.expression(depth - 1)})`;
  }

  #block(depth: number): string {
    return `{ ${Array.from({ length: 1 + this.#random.below(2) }, () => this.#statement(depth)).join(" ")} }`;
  }

  /** The block of a function. */
  #body(depth: number, may: Partial<Place> = {}): string {
    const place = { returns: true, yields: false, awaits: false, breaks: false, ...may };
    return this.#inside(place, () => this.#block(depth));
  }

  #inside(place: Partial<Place>, write: () => string): string {
    const outer = this.#place;
    this.#place = { ...outer, ...place };
    const text = write();
    this.#place = outer;
    return text;
  }

  #property(depth: number): string {
    return this.#random.one([
      () => this.#accessor(depth),
      () => `${this.#key()}: ${this.expression(depth)}`,
      () => `...${this.expression(depth)}`,
    ])();
  }

  #classProperty(depth: number): string {
    return this.#inside({ isStrict: true }, () => this.#accessor(depth));
  }

  #accessor(depth: number): string {
    return this.#random.one([
      () => `get ${this.#key()}() ${this.#body(depth)}`,
      () => `set ${this.#key()}(v) ${this.#body(depth)}`,
      () => `${this.#key()}(v) ${this.#body(depth)}`,
      () => `*${this.#key()}() ${this.#body(depth, { yields: true })}`,
      () => `async ${this.#key()}() ${this.#body(depth, { awaits: true })}`,
      () => `async *${this.#key()}() ${this.#body(depth, { awaits: true, yields: true })}`,
    ])();
  }

  #key(): string {
    const key = this.#random.one([this.#random.one(KEYS), `[Symbol.${this.#random.one(SYMBOLS)}]`]);
    // A class may have no static property that is written so.
    return key === "prototype" ? `["prototype"]` : key;
  }

  #traps(depth: number): string {
    const traps = Array.from({ length: 1 + this.#random.below(2) }, () => this.#random.one(TRAPS));
    return traps.map((trap) => `${trap}(t, k, v) ${this.#body(depth - 2)}`).join(", ");
  }

  #target(depth: number): string {
    const random = this.#random;
    return random.one([
      () => this.#name(),
      () => `${this.#receiver(depth)}.${random.one(KEYS)}`,
      () => `${this.#receiver(depth)}[${this.expression(depth - 1)}]`,
      () => `${random.one(GLOBALS)}.prototype.${random.one([...KEYS, ...METHODS])}`,
      () => `${random.one(GLOBALS)}.prototype[Symbol.${random.one(SYMBOLS)}]`,
      () => `globalThis.${random.one([...NAMES, ...GLOBALS])}`,
    ])();
  }

  #receiver(depth: number): string {
    return this.#random.onceIn(3) ? this.#name() : `(${this.expression(depth - 1)})`;
  }

  #list(depth: number): string {
    return Array.from({ length: this.#random.below(4) }, () => this.expression(depth - 1)).join(", ");
  }

  #name(): string {
    return this.#random.one(NAMES);
  }
}
