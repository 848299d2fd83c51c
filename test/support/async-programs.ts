/**
 * Random async programs: everything by which code goes on later, in any nesting. The same text runs in a session and in Node, where
 * six functions are its own (see `GUEST_PRELUDE`, and async-programs-in-node.mjs): `log` says a number and what is bound, `order` a number,
 * `bind` binds for a function, `read` reads, `later` starts a timer, `sleep` waits for one. All timers have one delay, so that they
 * fire in the order of their start wherever they run.
 */

/** What a program finds in a session. */
export const GUEST_PRELUDE = `
  const read = () => "x" in locals ? locals.x : "-";
  const log = (what) => console.log(what + ":" + read());
  const order = (what) => console.log(what);
  const bind = (value, run) => locals.with({ x: value }, run);
  const later = (run) => { setTimeout(run, 1) };
  const sleep = () => new Promise((resolve) => { setTimeout(resolve, 1) });
`;

/** How deep constructs may nest, and how many a program may have. */
export interface ProgramSize {
  readonly deepest: number;
  readonly most: number;
}

/** Where code stands: what it may do depends on it. */
type Place = "async" | "sync" | "generator";

/** An async function's text, without parameters. The same seed gives the same text. */
export function asyncProgram(seed: number, size: ProgramSize = { deepest: 4, most: 40 }): string {
  return new AsyncProgram(seed, size).text();
}

class AsyncProgram {
  readonly #size: ProgramSize;
  #state: number;
  #next = 0;
  #constructs = 0;
  #timers = 0;
  #delegates = true;

  constructor(seed: number, size: ProgramSize) {
    this.#size = size;
    this.#state = (seed * 2654435761) >>> 0 || 1;
  }

  text(): string {
    const body = this.#statements("async", 0, 4);
    // What nobody waits for may start timers in a row.
    return `async () => {\nawait (async () => {\n${body}})();\nfor (let i = 0; i <= ${this.#timers}; i++) await sleep();\nlog("end") }`;
  }

  #random(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    return this.#state % below;
  }

  #one<T>(choices: readonly T[]): T {
    return choices[this.#random(choices.length)] as T;
  }

  #log(): string {
    return `log(${++this.#next})`;
  }

  #bound(): string {
    return `"b${++this.#next}"`;
  }

  #statements(place: Place, depth: number, most: number): string {
    let text = "";
    for (let count = 1 + this.#random(most); count > 0; count--) text += `${this.#statement(place, depth)}\n`;
    return text;
  }

  #statement(place: Place, depth: number): string {
    if (depth >= this.#size.deepest || ++this.#constructs > this.#size.most) return `${this.#log()};`;
    const anywhere = [
      () => `${this.#log()};`,
      () => `bind(${this.#bound()}, () => {\n${this.#statements("sync", depth + 1, 2)}});`,
      () => `void bind(${this.#bound()}, ${this.#asyncFunction(depth + 1)});`,
      () => `void (${this.#promise(depth + 1)})${this.#reactions(depth + 1)};`,
      () => `queueMicrotask(${this.#callback(depth + 1)});`,
      () => this.#later(depth),
      () => this.#evaluated(),
      () => this.#tryCatch("sync", depth),
    ];
    const suspending = [
      () => `await (${this.#promise(depth + 1)})${this.#reactions(depth + 1)};\n${this.#log()};`,
      () => `await bind(${this.#bound()}, ${this.#asyncFunction(depth + 1)});\n${this.#log()};`,
      () => `${this.#logged(`await ${this.#value(depth + 1)}`)};\n${this.#log()};`,
      () => `await sleep();${this.#count()}\n${this.#log()};`,
      () => this.#tryCatch(place, depth),
      () => this.#tryCatch(place, depth),
      () => this.#forAwait(place, depth),
      () => this.#forAwait(place, depth),
      () => this.#forOf(depth),
      () => this.#generatorByHand(depth),
    ];
    if (place === "sync") return this.#one(anywhere)();
    if (place === "generator" && this.#delegates && this.#random(8) === 0) {
      const of = this.#one([() => `(${this.#generator(depth + 2)})()`, () => `[${this.#value(depth + 1)}]`])();
      return `yield* ${of};\n${this.#log()};`;
    }
    if (place === "generator" && this.#random(3) === 0) return `yield ${this.#value(depth + 1)};\n${this.#log()};`;
    return this.#random(3) === 0 ? this.#one(anywhere)() : this.#one(suspending)();
  }

  /** A timer that is started is waited for at the end. */
  #count(): string {
    this.#timers++;
    return "";
  }

  #later(depth: number): string {
    this.#timers++;
    return `later(${this.#callback(depth + 1)});`;
  }

  /** An expression that says what it gave. */
  #logged(expression: string): string {
    return `log(String(${expression}))`;
  }

  #asyncFunction(depth: number): string {
    if (this.#random(5) === 0) return `async () => ${this.#value(depth + 1)}`;
    const end = this.#one([
      () => "",
      () => `return ${this.#value(depth + 1)};\n`,
      () => `return await ${this.#value(depth + 1)};\n`,
    ])();
    return `async () => {\n${this.#statements("async", depth, 3)}${end}}`;
  }

  /** A function that is called with something, and gives something. */
  #callback(depth: number): string {
    if (this.#random(3) === 0) return this.#asyncFunction(depth);
    return `() => {\n${this.#statements("sync", depth, 2)}${this.#random(2) === 0 ? `return ${this.#value(depth + 1)};\n` : ""}}`;
  }

  #reactions(depth: number): string {
    let text = "";
    for (let count = 1 + this.#random(2); count > 0; count--) {
      text += this.#one([
        () => `.then(${this.#callback(depth)})`,
        () => `.then(${this.#callback(depth)}, ${this.#callback(depth)})`,
        () => `.catch(${this.#callback(depth)})`,
        () => `.finally(${this.#callback(depth)})`,
      ])();
    }
    return `${text}.catch(() => ${this.#log()})`;
  }

  /** Something to await that does not reject unless a handler stands around it. */
  #value(depth: number): string {
    return this.#one([
      () => "1",
      () => '({ valueOf: () => 1, toString: () => "object" })',
      () => this.#thenable(depth),
      () => this.#thenable(depth),
      () => this.#promise(depth),
    ])();
  }

  #promise(depth: number): string {
    if (depth >= this.#size.deepest) return "Promise.resolve(2)";
    return this.#one([
      () => "Promise.resolve(3)",
      () => `Promise.resolve(${this.#thenable(depth)})`,
      () => `(${this.#asyncFunction(depth + 1)})()`,
      () => `new Promise((resolve) => { ${this.#log()}; queueMicrotask(() => resolve(4)) })`,
      () => `new (class P extends Promise {})((resolve) => resolve(5)).then(${this.#callback(depth + 1)})`,
      () => `Promise.reject(6).catch(${this.#callback(depth + 1)})`,
      () =>
        `Promise.${this.#one(["all", "race", "any", "allSettled"])}([${this.#value(depth + 1)}, ${this.#value(depth + 1)}])`,
      () => `sleep()${this.#count()}`,
    ])();
  }

  #thenable(depth: number): string {
    const then = this.#one([
      () => `resolve(7)`,
      () => `queueMicrotask(() => { ${this.#log()}; resolve(8) })`,
      () => (depth < this.#size.deepest ? `resolve(${this.#thenable(depth + 1)})` : "resolve(9)"),
      () => `later(() => { ${this.#log()}; resolve(10) })${this.#count()}`,
    ])();
    return `({ then(resolve) { ${this.#log()}; ${then} } })`;
  }

  #tryCatch(place: Place, depth: number): string {
    const fails = this.#one([
      () => "throw 11;",
      () => (place === "sync" ? "throw 12;" : "await Promise.reject(13);"),
      () => (place === "sync" ? "" : "await { then(_, reject) { reject(14) } };"),
      () => (place === "sync" ? "" : "await (async () => { await 0; throw 15 })();"),
      () => "",
    ])();
    const within = `${this.#statements(place, depth + 1, 2)}${fails}\n`;
    const pattern = this.#one(["(error)", "", "({ message })"]);
    const handler = pattern === "({ message })" ? "(error)" : pattern;
    const handled = `catch ${handler} {\n${this.#statements(place, depth + 1, 2)}}`;
    const last = this.#random(2) === 0 ? "" : ` finally {\n${this.#statements(place, depth + 1, 2)}}`;
    return `try {\n${within}} ${handled}${last}\n${this.#log()};`;
  }

  #forAwait(place: Place, depth: number): string {
    const isLeft = this.#random(2) === 0;
    // The engine closes what a yield* asks a tick later than Node does: docs/locals.md.
    const delegates = this.#delegates;
    this.#delegates &&= !isLeft;
    const of = this.#one([
      () => `[${this.#value(depth + 1)}, ${this.#promise(depth + 1)}]`,
      () => `(${this.#generator(depth + 1)})()`,
    ])();
    this.#delegates = delegates;
    const leave = isLeft ? this.#one(["break;", "throw 21;", "return 22;"]) : this.#one(["", "continue;"]);
    const label = `l${++this.#next}`;
    const [head, again] = this.#one([
      ["const v", ""],
      [`const { a = ${this.#log()} }`, ""],
      ["const v", `${label}: for (let i = 0; i < 2; i++, ${this.#log()}) `],
    ] as const);
    const jump = again === "" || !isLeft ? leave : this.#one([leave, `continue ${label};`, `break ${label};`]);
    const body = `${this.#statements(place, depth + 1, 2)}${jump === "" ? "" : `if (${this.#random(2)}) ${jump}`}\n`;
    const loop = `for await (${head} of ${of}) {\n${body}}`;
    const whole = again === "" ? loop : `${again}{\n${loop}\n${this.#log()};\n}`;
    return `try {\n${whole}\n} catch { ${this.#log()} }\n${this.#log()};`;
  }

  #generator(depth: number): string {
    const last = this.#random(3) === 0 ? `return ${this.#value(depth + 1)};\n` : "";
    const body = `${this.#statements("generator", depth, 2)}yield 16;\n${this.#statements("generator", depth, 2)}${last}`;
    const guarded =
      this.#random(2) === 0 ? body : `try {\n${body}} finally {\n${this.#statements("async", depth + 1, 1)}}\n`;
    return `async function* () {\n${guarded}}`;
  }

  #generatorByHand(depth: number): string {
    const name = `g${++this.#next}`;
    const isEnded = this.#random(3) === 0;
    const step = (): string =>
      this.#one([
        ...(isEnded ? [() => `await ${name}.return(17).catch(() => 0); ${this.#log()};`] : []),
        ...(isEnded ? [() => `await ${name}.throw(18).catch(() => 0); ${this.#log()};`] : []),
        () => `await ${name}.next().catch(() => 0); ${this.#log()};`,
        // Of a generator that has ended the engine forgets a `throw` that waits behind a `next`: docs/locals.md.
        ...(isEnded ? [] : [() => `void ${name}.next().catch(() => 0);`]),
        () => `await bind(${this.#bound()}, () => ${name}.next()).catch(() => 0); ${this.#log()};`,
      ])();
    const generator = isEnded ? this.#generatorToEnd(depth + 1) : this.#generator(depth + 1);
    return `const ${name} = (${generator})();\n${step()}\n${step()}\n${step()}`;
  }

  /** What `return()` runs, it runs in the context in which the generator ran last: docs/locals.md. Its order is compared. */
  #generatorToEnd(depth: number): string {
    const caught = `try {\nyield 15;\n} catch {\n${this.#statements("async", depth, 2)}}\n`;
    const body = `${this.#statements("async", depth, 2)}yield 16;\n${caught}${this.#statements("async", depth, 2)}yield 17;\n`;
    return `async function* () {\ntry {\n${body}} finally {\norder(${++this.#next});\n}\n}`;
  }

  /** A loop over an iterator that says when it is closed. */
  #forOf(depth: number): string {
    const iterable = `{ i: 0, [Symbol.iterator]() { return this }, next() { ${this.#log()}; return { done: this.i++ > 1, value: this.i } }, return() { ${this.#log()}; return {} } }`;
    const leave = this.#one(["", "break;", "throw 19;", "await Promise.reject(20);"]);
    // No `yield`: to close an ordinary iterator by ending a generator takes the engine a tick longer than Node: docs/locals.md.
    const body = `await ${this.#value(depth + 1)};\n${this.#statements("async", depth + 1, 2)}${leave}\n`;
    return `try { for (const v of ${iterable}) {\n${body}} } catch { ${this.#log()} }\n${this.#log()};`;
  }

  #evaluated(): string {
    const code = `${this.#log()}; await 0; ${this.#log()}; return { then(resolve) { ${this.#log()}; resolve() } }`;
    const text = JSON.stringify(code);
    return this.#one([
      `void eval(${JSON.stringify(`(async () => { ${code} })()`)}).then(() => ${this.#log()});`,
      `void (0, eval)(${JSON.stringify(`(async () => { ${code} })`)})().then(() => ${this.#log()});`,
      `void new Function(${JSON.stringify(`return (async () => { ${code} })()`)})().then(() => ${this.#log()});`,
      `void new (async () => {}).constructor(${text})().then(() => ${this.#log()});`,
    ]);
  }
}
