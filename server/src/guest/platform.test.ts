/** The web platform's names in the realm, against what Node makes of the same expressions. */
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine, type TurnResult } from "../engine/engine.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { Cell } from "../engine/worker/layout.js";
import * as cases from "./platform.cases.js";
import * as urlCases from "./url.cases.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

class Guest {
  readonly memory: SessionMemory = engine.createMemory(64 << 20);
  #execution = 0;

  async turn(code: string): Promise<TurnResult> {
    const command = { kind: "execute", code, filename: "test.js", bindings: new Map() } as const;
    const execution = { number: ++this.#execution, encoding: 1, handleGroup: "", valueBytes: 1 << 20, handles: 1000 };
    return new Promise((done) => {
      engine.run(this.memory, [
        { input: { kind: "run", command, execution }, budget: 20_000, consoleBytes: 1000, done },
      ]);
    });
  }

  /** What the code gives, as JSON can carry it; an exception as `name: message`. */
  async run(code: string): Promise<unknown> {
    const result = await this.turn(code);
    if (result.kind === "undone") return `undone: ${result.reason}`;
    const [effect] = result.effects;
    if (effect === undefined || !("text" in effect)) return undefined;
    const value = effect.text === "" ? undefined : (JSON.parse(effect.text) as unknown);
    if (effect.kind !== "exception") return value;
    const { name, message } = value as { name: string; message: string };
    return `${name}: ${message}`;
  }
}

/** Gives JSON text: of the value, or of what was thrown. */
function telling(expression: string): string {
  return `(async () => {
    const text = (value) => JSON.stringify(value, (_, it) =>
      it === undefined ? "undefined" : typeof it === "bigint" ? it + "n" : it instanceof Uint8Array ? [...it] : it);
    try { return text(await (${expression})) }
    catch (error) { return text({ thrown: error.name, code: error instanceof DOMException ? error.code : undefined }) }
  })()`;
}

describe.each(Object.entries({ ...cases, ...urlCases }))("%s", (_, expressions) => {
  test.each(expressions.map((expression) => [expression]))("as in Node: %s", async (expression) => {
    const code = telling(expression);
    const expected: unknown = await runInThisContext(code);
    expect(await new Guest().run(code)).toBe(expected);
  });
});

describe("the platform in a realm that guest code broke", () => {
  const BREAK = `
    const spied = [];
    const spy = (object, key) => {
      const descriptor = Object.getOwnPropertyDescriptor(object, key);
      if (typeof descriptor?.value !== "function" || !descriptor.configurable) return;
      const original = descriptor.value;
      const { apply, construct } = spy;
      Object.defineProperty(object, key, { ...descriptor, value: function (...given) {
        spied.length < 10_000 && (spied[spied.length] = this, spied[spied.length] = given);
        return new.target ? construct(original, given) : apply(original, this, given);
      } });
    };
    spy.apply = Reflect.apply;
    spy.construct = Reflect.construct;
    for (const name of ["Object", "Reflect", "Function", "Array", "String", "Map", "Set", "WeakMap", "RegExp", "JSON", "Math"]) {
      const object = globalThis[name];
      for (const target of [object, object.prototype]) {
        if (!target) continue;
        for (const key of Reflect.ownKeys(target)) {
          if (key !== "constructor" && key !== "prototype" && target[key] !== spy) try { spy(target, key) } catch {}
        }
      }
    }`;
  const USES = [
    ["atob('YQ==')", "a"],
    ["new URL('http://a/b?c').href", "http://a/b?c"],
    ["structuredClone({ a: [1] }).a[0]", 1],
    ["new TextDecoder().decode(new TextEncoder().encode('é'))", "é"],
    ["new AbortController().signal.aborted", false],
    ["crypto.randomUUID().length", 36],
    ["new DOMException('m').message", "m"],
    ["performance.now() >= 0", true],
    ["new EventTarget().dispatchEvent(new Event('x'))", true],
  ] as const;

  test.each(USES)(
    "works on while intrinsics are spied on, and shows nothing of the kernel: %s",
    async (use, expected) => {
      const guest = new Guest();
      await guest.run(BREAK);
      expect(await guest.run(use)).toBe(expected);
      // What a spy could do with what it saw: reach what only the kernel has, and then answer wrongly.
      await guest.run(`for (const it of spied.flat()) if (typeof it === "function") for (const give of [[], [7], ["x", {}]])
      try { it(...give) } catch {}; 0`);
      expect(await guest.run("[1, { a: 'b' }]")).toEqual([1, { a: "b" }]);
      expect(await guest.run("null.x")).toMatch(/^TypeError: /);
    },
  );

  test.each(USES)("ends in an error of the guest's when nothing works any more: %s", async (use) => {
    const guest = new Guest();
    await guest.run(`for (const name of ["Object", "Reflect", "Array", "String", "Map", "Set", "WeakMap", "RegExp", "Date"]) {
      for (const target of [globalThis[name], globalThis[name].prototype]) for (const key of target ? Reflect.ownKeys(target) : [])
        try { Object.defineProperty(target, key, { get() { throw new RangeError("broken") } }) } catch {}
      delete globalThis[name];
    }`);
    expect(await guest.run(use)).not.toMatch(/^undone/);
    expect(await guest.run("1 + 1")).toBe(2);
  });
});

describe("randomness", () => {
  const DRAW = "[Math.random(), crypto.randomUUID(), ...crypto.getRandomValues(new Uint32Array(2))]";

  test("differs between sessions", async () => {
    const drawn = (await Promise.all(Array.from({ length: 10 }, () => new Guest().run(DRAW)))) as unknown[][];
    expect(new Set(drawn.flat()).size).toBe(40);
  });

  test("is the same in copies of one memory until each is given entropy of its own", async () => {
    const origin = new Guest();
    await origin.run(DRAW);
    const copies = [new Guest(), new Guest(), new Guest(), new Guest()];
    const own = copies.map(({ memory }) => new Int32Array(memory.memory.buffer.slice(0)));
    // Fresh sessions differ in nothing but their entropy.
    const cells = (own[0] as Int32Array).findIndex((word, i) => word !== own[1]?.[i]) - Cell.SEED;
    for (const [i, { memory }] of copies.entries()) {
      const words = new Int32Array(memory.memory.buffer);
      words.set(new Int32Array(origin.memory.memory.buffer).subarray(0, words.length));
      if (i < 2) continue;
      for (const [from, count] of [
        [Cell.SEED, 8],
        [Cell.KEY, 8],
      ] as const) {
        words.set((own[i] as Int32Array).subarray(cells + from, cells + from + count), cells + from);
      }
      words[cells + Cell.SEED_GENERATION] = 2;
    }
    const [same, alike, first, second] = copies as [Guest, Guest, Guest, Guest];
    expect(await same.run(DRAW)).toEqual(await alike.run(DRAW));
    const drawn = (await Promise.all([first.run(DRAW), second.run(DRAW), origin.run(DRAW)])) as unknown[][];
    expect(new Set(drawn.flat()).size).toBe(12);
  });
});

test.each(["big5", "euc-jp", "euc-kr", "gb18030", "gbk", "iso-2022-jp", "shift_jis", "SJIS", "gb2312"])(
  "a TextDecoder of %s, whose tables are not here, is refused when it is made",
  async (label) => {
    const refusal = `RangeError: TextDecoder: the encoding ${label} is not known here`;
    expect(await new Guest().run(`new TextDecoder("${label}")`)).toBe(refusal);
  },
);

test("a TextDecoder knows its encodings whatever guest code makes of arrays and strings", async () => {
  const guest = new Guest();
  await guest.run("Array.prototype.includes = () => true; String.prototype.slice = () => 'guest'");
  expect(await guest.run("new TextDecoder().decode(new Uint8Array([65]))")).toBe("A");
  expect(await guest.run("new TextDecoder('big5')")).toBe(
    "RangeError: TextDecoder: the encoding big5 is not known here",
  );
});

describe("what the platform does with time and errors", () => {
  test("the time of events and of performance is told whatever guest code makes of Math", async () => {
    const guest = new Guest();
    await guest.run("Math.floor = Math.max = () => 'guest'");
    const code = "[new Event('x').timeStamp, performance.now(), performance.timeOrigin]";
    expect(await guest.run(code)).toEqual([expect.any(Number), expect.any(Number), expect.any(Number)]);
    await guest.run("delete globalThis.Math");
    expect(await guest.run("new EventTarget().dispatchEvent(new Event('x'))")).toBe(true);
  });

  test("AbortSignal.timeout waits by the timer that the realm has when it is called", async () => {
    const guest = new Guest();
    await guest.run("var waits = []; globalThis.setTimeout = (run, delay) => waits.push([run, delay])");
    await guest.run("var signal = AbortSignal.timeout(50.7)");
    expect(await guest.run("[signal.aborted, waits.length, waits[0][1]]")).toEqual([false, 1, 50]);
    await guest.run("waits[0][0]()");
    expect(await guest.run("[signal.aborted, signal.reason.name, signal.reason.code]")).toEqual([
      true,
      "TimeoutError",
      23,
    ]);
  });

  test("AbortSignal.timeout waits in parts where no timer is as long", async () => {
    const guest = new Guest();
    await guest.run("var waits = []; globalThis.setTimeout = (run, delay) => waits.push([run, delay])");
    await guest.run("var signal = AbortSignal.timeout(2 ** 32)");
    const told = "[signal.aborted, waits.map(([, delay]) => delay)]";
    const longest = 2 ** 31 - 1;
    expect(await guest.run(told)).toEqual([false, [longest]]);
    await guest.run("waits[0][0]()");
    await guest.run("waits[1][0]()");
    expect(await guest.run(told)).toEqual([false, [longest, longest, 2]]);
    await guest.run("waits[2][0]()");
    expect(await guest.run("signal.aborted")).toBe(true);
  });

  test("a handler of abort that was taken away and given again is called once, behind those that came meanwhile", async () => {
    const guest = new Guest();
    await guest.run(`var seen = [];
      const { signal } = (globalThis.controller = new AbortController()), handler = () => seen.push("handler");
      signal.onabort = handler;
      signal.onabort = null;
      signal.addEventListener("abort", () => seen.push("listener"));
      signal.onabort = () => seen.push("never");
      signal.onabort = handler; 0`);
    expect(await guest.run("controller.abort(); seen")).toEqual(["listener", "handler"]);
  });

  test("structuredClone of plain objects takes no longer where it is called deep in calls", async () => {
    const guest = new Guest();
    const fastest = async (depth: number): Promise<number> => {
      const code = `{
        const list = Array.from({ length: 300 }, () => ({ a: 1 }));
        const at = (n) => n > 0 ? at(n - 1) : structuredClone(list);
        const start = Date.now();
        at(${depth});
        Date.now() - start;
      }`;
      const times: number[] = [];
      for (let i = 0; i < 4; i++) times.push((await guest.run(code)) as number);
      return Math.min(...times);
    };
    const near = await fastest(0);
    expect(await fastest(300)).toBeLessThan(3 * near + 50);
  });

  test("parameters that are added to a URL one by one take no longer the more there are", async () => {
    const guest = new Guest();
    const code = `{
      const url = new URL("http://a/?b=c"), start = Date.now();
      for (let i = 0; i < 2000; i++) url.searchParams.append("k" + i, "v");
      [url.href.length, url.search.length, Date.now() - start];
    }`;
    const [href, search, time] = (await guest.run(code)) as [number, number, number];
    expect([href, search]).toEqual([14_903, 14_894]);
    expect(time).toBeLessThan(2_000);
  });

  test("a signal that lives on holds nothing that was made of it, or waited for it, and is over", async () => {
    const guest = new Guest();
    await guest.run("const { signal } = new AbortController(), target = new EventTarget(); 0");
    const round = `for (let i = 0; i < 500; i++) {
      AbortSignal.any([signal]);
      const any = AbortSignal.any([signal]), listener = () => 1;
      any.addEventListener("abort", listener);
      any.removeEventListener("abort", listener);
      target.addEventListener("x", listener, { signal: any });
      target.removeEventListener("x", listener);
    }
    0`;
    for (let i = 0; i < 3; i++) await guest.run(round);
    const before = guest.memory.heapBytes;
    for (let i = 0; i < 10; i++) await guest.run(round);
    expect(guest.memory.heapBytes).toBeLessThan(before + 500_000);
  });

  test("a signal that is awaited goes with all that it was made of, where nobody has those any more", async () => {
    const guest = new Guest();
    const round = `for (let i = 0; i < 500; i++) {
      AbortSignal.any([new AbortController().signal, new AbortController().signal]).addEventListener("abort", () => 1);
    }
    0`;
    for (let i = 0; i < 3; i++) await guest.run(round);
    const before = guest.memory.heapBytes;
    for (let i = 0; i < 10; i++) await guest.run(round);
    expect(guest.memory.heapBytes).toBeLessThan(before + 500_000);
  });

  test("signals are there also where guest code has taken weak references away", async () => {
    const code = `delete globalThis.WeakRef, delete globalThis.FinalizationRegistry;
      const { signal } = new AbortController();
      [signal.aborted, AbortSignal.any([signal]).aborted]`;
    expect(await new Guest().run(code)).toEqual([false, false]);
  });

  test("what a listener or a microtask throws reaches neither its caller nor the others", async () => {
    const guest = new Guest();
    await guest.run(`var seen = [], target = new EventTarget();
      target.addEventListener("x", () => { throw new Error("first") });
      target.addEventListener("x", () => seen.push("second"));`);
    expect(await guest.run("target.dispatchEvent(new Event('x'))")).toBe(true);
    expect(
      await guest.run("queueMicrotask(() => { throw 1 }); queueMicrotask(() => seen.push('third')); reportError(2)"),
    ).toBe(undefined);
    expect(await guest.run("seen")).toEqual(["second", "third"]);
  });

  test("a DOMException that nobody caught has its name and message", async () => {
    expect(await new Guest().run("throw new DOMException('too late', 'TimeoutError')")).toBe("TimeoutError: too late");
    expect(await new Guest().run("AbortSignal.abort().throwIfAborted()")).toMatch(/^AbortError: /);
  });

  test("the clock goes on from the session's begin, also where it was not looked at", async () => {
    const guest = new Guest();
    const before = Date.now();
    await guest.run("1");
    const origin = (await guest.run("performance.timeOrigin")) as number;
    expect(origin).toBeGreaterThanOrEqual(before - 1);
    expect(origin).toBeLessThanOrEqual(Date.now());
  });
});

describe("what a session costs before it is used", () => {
  test("is at most 224 KiB, static data of the engine included", () => {
    expect(engine.baseImageBytes).toBeLessThanOrEqual(224 * 1024);
  });
});
