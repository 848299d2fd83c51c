import { getQuickJS } from "quickjs-emscripten";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLong } from "../../../test/support/is-long.js";
import { Engine, type Turn, type TurnResult } from "./engine.js";
import type { TurnInput } from "./kernel-protocol.js";
import type { SessionMemory } from "./session-memory.js";
import { HEAP_START, PAGE_BYTES } from "./worker/layout.js";
import { TRACKED_PAGES } from "./worker/tracked-pages.js";

const MEBIBYTE = 1 << 20;

interface StartedTurn extends Turn {
  readonly result: Promise<TurnResult>;
}

/** A session at the engine's boundary: gives the JSON text of a result, the exception's text, or why it was undone. */
class Guest {
  readonly engine: Engine;
  readonly memory: SessionMemory;
  #execution = 1;

  constructor(engine: Engine, memoryBytes = 32 * MEBIBYTE) {
    this.engine = engine;
    this.memory = engine.createMemory(memoryBytes);
  }

  async turn(code: string, budget = 5_000): Promise<TurnResult> {
    return this.start([code], budget)[0]?.result as Promise<TurnResult>;
  }

  /** Gives turns to the engine together. */
  start(codes: readonly string[], budget: number | ((code: string) => number) = 5_000): StartedTurn[] {
    const results: Promise<TurnResult>[] = [];
    const specs = codes.map((code) => {
      let done: (result: TurnResult) => void = () => undefined;
      results.push(new Promise((resolve) => (done = resolve)));
      return {
        input: this.input(code),
        budget: typeof budget === "number" ? budget : budget(code),
        consoleBytes: 1_000,
        done: (result: TurnResult) => done(result),
      };
    });
    const turns = this.engine.run(this.memory, specs);
    return turns.map((turn, i) => ({ stop: () => turn.stop(), result: results[i] as Promise<TurnResult> }));
  }

  /** Gives it something else than code. */
  give(input: TurnInput): Promise<TurnResult> {
    return new Promise((done) => this.engine.run(this.memory, [{ input, budget: 5_000, consoleBytes: 1_000, done }]));
  }

  input(code: string): TurnInput {
    return {
      kind: "run",
      command: { kind: "execute", code, filename: "test.js", bindings: new Map() },
      execution: {
        number: this.#execution++,
        encoding: 1,
        handleGroup: "",
        valueBytes: 1 << 20,
        handles: 1000,
      },
    };
  }

  async run(code: string, budget?: number): Promise<string> {
    return answer(await this.turn(code, budget));
  }
}

function answer(result: TurnResult): string {
  if (result.kind === "undone") return `undone: ${result.reason}`;
  const settled = result.effects.find(({ kind }) => kind === "value" || kind === "exception");
  return settled !== undefined && "text" in settled ? settled.text : "";
}

describe("the engine", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.start({ workers: 2 });
  });
  afterAll(() => engine.close());

  test("keeps a session's state from turn to turn", async () => {
    const guest = new Guest(engine);
    await guest.run("let n = 1; const add = (by) => (n += by)");
    expect(await guest.run("add(41)")).toBe("42");
  });

  test.each([
    ["1 + 1"],
    ["[1, 2, 3].map((x) => x ** 2).join()"],
    ["'\\u00e9'.normalize('NFD').length"],
    ["new Date(Date.UTC(2024, 1, 29)).toISOString()"],
    ["(1.1).toFixed(20)"],
    ["/(?<year>\\d{4})/.exec('in 2026').groups.year"],
    ["[3, 1, 2].toSorted().toString()"],
    ["10n ** 20n + ''"],
    ["Number('0x1f') + parseInt('12px')"],
    ["JSON.stringify({ a: [1, { b: null }], c: 'x\\n' })"],
    ["[...'a\\u{1f600}b'].length"],
    ["Object.keys({ b: 1, a: 2, 1: 3 }).join()"],
  ])("answers as the package's own loader does: %s", async (code) => {
    const own = (await getQuickJS()).evalCode(code) as unknown;
    expect(await new Guest(engine).run(code)).toBe(JSON.stringify(own));
  });

  test("gives every session UTC and an empty environment", async () => {
    const guest = new Guest(engine);
    expect(await guest.run("new Date(2024, 6, 1).getTimezoneOffset()")).toBe("0");
    expect(await guest.run("new Date(0).toString().includes('GMT+0000')")).toBe("true");
  });

  test("lets no two sessions draw the same random numbers", async () => {
    const code = "Math.random()";
    const drawn = await Promise.all(Array.from({ length: 20 }, () => new Guest(engine).run(code)));
    expect(new Set(drawn).size).toBe(20);
  });

  test("collects garbage when a heap has grown, and not for every turn that holds a little more", async () => {
    const guest = new Guest(engine);
    await guest.run("const held = []; let cycle; (() => { const a = {}; a.self = a; cycle = new WeakRef(a); })()");
    for (let i = 0; i < 10; i++) await guest.run("held.push(new ArrayBuffer(1000)); 0");
    expect(await guest.run("cycle.deref() !== undefined")).toBe("true");
    for (let i = 0; i < 10; i++) await guest.run("held.push(new ArrayBuffer(20_000)); 0");
    expect(await guest.run("cycle.deref() !== undefined")).toBe("false");
  });

  test.each([
    ["below its limit", 4 * MEBIBYTE, ["const live = new ArrayBuffer(3_750_000)"]],
    ["below a larger one", 16 * MEBIBYTE, ["const live = new ArrayBuffer(15_800_000)"]],
    [
      "above a hole that garbage fills",
      16 * MEBIBYTE,
      [
        "let low = Array.from({ length: 90 }, () => new ArrayBuffer(100_000)); 0",
        "const live = Array.from({ length: 72 }, () => new ArrayBuffer(100_000)); 0",
        "low = undefined; 0",
      ],
    ],
  ])("never runs out of memory for garbage, with little room %s", async (_where, limit, setup) => {
    const guest = new Guest(engine, limit);
    for (const code of setup) expect(await guest.run(code)).not.toContain("undone");
    const garbage = "(() => { const a = { pad: new ArrayBuffer(50_000) }; a.self = a; return 1 })()";
    for (let i = 0; i < 600; i++) expect(await guest.run(garbage), `turn ${i}`).toBe("1");
  });

  test("has the room that a little garbage takes for whoever needs it, near the limit", async () => {
    const guest = new Guest(engine, 4 * MEBIBYTE);
    await guest.run("const live = new ArrayBuffer(3_000_000)");
    await guest.run("(() => { const a = { pad: new ArrayBuffer(50_000) }; a.self = a })()");
    const { maximumPages, heapBytes } = guest.memory;
    const wide = maximumPages * 65536 - HEAP_START - heapBytes + 10_000;
    expect(await guest.run(`new ArrayBuffer(${wide}).byteLength`)).toBe(String(wide));
  });

  test("collects a heap when it is put back to an image, as it may have lacked memory", async () => {
    const guest = new Guest(engine, 16 * MEBIBYTE);
    const { memory } = guest;
    await guest.run("const live = new ArrayBuffer(8_000_000)");
    for (let i = 0; i < 2; i++) await guest.run("(() => { const a = { pad: new ArrayBuffer(25_000) }; a.self = a })()");
    const room = memory.maximumPages * 65536 - HEAP_START - memory.heapBytes;
    const wide = `new ArrayBuffer(${room + 15_000}).byteLength`;
    const image = engine.saveImage(memory);
    expect(await guest.run(wide)).toBe("undone: memory");
    engine.restoreImage(memory, image);
    expect(await guest.run(wide)).toBe(String(room + 15_000));
  });

  test("collects a heap that could not grow because all sessions together hold what they may", async () => {
    const full = await Engine.start({ workers: 1, memoryBytes: 2 * MEBIBYTE });
    try {
      const [guest, other] = [new Guest(full), new Guest(full)];
      const hold = "(globalThis.held ??= []).push(new ArrayBuffer(20_000)); 0";
      while ((await other.run(hold)) === "0");
      const garbage = "(() => { const a = { pad: new ArrayBuffer(20_000) }; a.self = a })()";
      for (let i = 0; i < 3; i++) await guest.run(garbage);
      const wide = "new ArrayBuffer(260_000).byteLength";
      expect([await guest.run(wide), await guest.run(wide)]).toEqual(["undone: serverMemory", "260000"]);
    } finally {
      await full.close();
    }
  });

  // Of the larger heap it takes longer than the watchdog waits for a turn that is past its budget.
  const HEAPS = isLong
    ? [
        [64, 3e5],
        [512, 2e6],
      ]
    : [[64, 3e5]];

  test.each(HEAPS)("collects the garbage of former turns on nobody's time: %i MiB", async (mebibytes, objects) => {
    const guest = new Guest(engine, Number(mebibytes) * MEBIBYTE);
    await guest.run(`let head; for (let i = 0; i < ${objects}; i++) head = { next: head, at: [i] }; 0`, 60_000);
    const answers: string[] = [];
    // It takes many times as long as a turn has. The machine may stand still in one turn, but not in each.
    for (let attempt = 0; attempt < 20 && answers.at(-1) !== "7"; attempt++) {
      engine.collectGarbageOf(guest.memory);
      // The engine looks at the time every ten thousand branches.
      answers.push(await guest.run("head = { next: head }; for (let i = 0; i < 2e4; i++); 7", 5));
    }
    expect(answers.at(-1)).toBe("7");
  });

  test.runIf(isLong)(
    "ends a worker that collects garbage which was made to take any time, and the session goes on",
    { timeout: 120_000 },
    async () => {
      const guest = new Guest(engine, 64 * MEBIBYTE);
      // Names that hash alike: when one is freed the engine walks along all of them.
      await guest.run(`var made = 0, kept = {}; kept.self = kept;
        const pairs = [0, 1, 2, 3].map((i) => String.fromCharCode(0x400 + i, 0x1000 - 263 * i));
        const key = (n) => { let text = ""; for (let i = 0; i < 9; i++) { text += pairs[n & 3]; n >>= 2; } return text; };
        function make(to) { for (; made < to; made++) kept[key(made)] = 1; return made } 0`);
      for (let to = 2_000; to <= 70_000; to += 2_000) await guest.run(`make(${to})`, 60_000);
      engine.collectGarbageOf(guest.memory);
      await guest.run("[]");
      await guest.run("var room = new Uint8Array(8e6); kept = undefined; 0");
      // Nothing of it has run, so it is run without that.
      expect(await guest.run("1", 50)).toBe("1");
      expect(await guest.run("[1, 2, 3].length", 5_000)).toBe("3");
    },
  );

  test("collects what was due also after a worker was ended for something else", async () => {
    const guest = new Guest(engine, 32 * MEBIBYTE);
    // What a session has grown by is known from its second turn on.
    await guest.run("0");
    await guest.run("(() => { const held = { bytes: new Uint8Array(12e6) }; held.held = held })(); 0");
    expect(await guest.run("new Array(1e9) + ''", 100)).toBe("undone: budget");
    expect(await guest.run("new Uint8Array(25e6).length")).toBe("25000000");
  });

  test("stops a turn that is past its budget, and undoes it", async () => {
    const guest = new Guest(engine);
    await guest.run("total = 7");
    expect(await guest.run("total = 8; for (;;);", 50)).toBe("undone: budget");
    expect(await guest.run("total")).toBe("7");
  });

  test("ends the worker of a turn that polls for nothing, and undoes it", async () => {
    const guest = new Guest(engine);
    await guest.run("total = 7");
    expect(await guest.run('total = 8; new Array(1e9) + ""', 50)).toBe("undone: budget");
    expect(await guest.run("total")).toBe("7");
  });

  test("keeps answering others while one session hangs its worker", async () => {
    const hung = new Guest(engine).run('new Array(1e9) + ""', 1_000);
    const other = new Guest(engine);
    for (let i = 1; i <= 20; i++) expect(await other.run("globalThis.n = (globalThis.n ?? 0) + 1")).toBe(`${i}`);
    expect(await hung).toBe("undone: budget");
  });

  test("brings a heap back whole after kills in the middle of allocations", async () => {
    const guest = new Guest(engine);
    await guest.run("const kept = Array.from({ length: 2000 }, (_, i) => ({ i, text: 'x'.repeat(i % 50) }))");
    const sum = "kept.reduce((sum, { i, text }) => sum + i + text.length, 0)";
    const before = await guest.run(sum);
    for (let round = 0; round < (isLong ? 6 : 3); round++) {
      const endless = 'for (;;) { kept.push({ more: "y".repeat(500) }); JSON.stringify(kept.slice(0, 50)) }';
      expect(await guest.run(endless, 20 + 7 * round)).toBe("undone: budget");
      expect(await guest.run('new Array(1e9) + ""', 30)).toBe("undone: budget");
      expect(await guest.run(sum)).toBe(before);
    }
  });

  test("undoes a turn that runs out of memory, also where the guest catches the error", async () => {
    const guest = new Guest(engine, 16 * MEBIBYTE);
    await guest.run("var list = [1, 2]");
    const hog = "for (;;) list.push(new Array(1000).fill(0))";
    expect(await guest.run(hog)).toBe("undone: memory");
    expect(await guest.run(`try { ${hog} } catch { list = [] } 1`)).toBe("undone: memory");
    expect(await guest.run("list.length")).toBe("2");
  });

  test("undoes a turn that traps the engine", async () => {
    const guest = new Guest(engine);
    await guest.run("var x = 1");
    const trap = "x = 2; Reflect.ownKeys(new Proxy({}, { ownKeys() { return { length: 0x20000001 } } }))";
    expect(await guest.run(trap)).toBe("undone: trap");
    expect(await guest.run("x")).toBe("1");
  });

  test("makes deep recursion an error of the guest", async () => {
    const guest = new Guest(engine);
    expect(await guest.run("function f() { return f() } try { f() } catch (e) { e.message }")).toBe('"stack overflow"');
  });

  test("stops a running turn on request", async () => {
    const guest = new Guest(engine);
    const turn = guest.start(["for (;;);"], 60_000)[0] as StartedTurn;
    setTimeout(() => turn.stop(), 20);
    expect(answer(await turn.result)).toBe("undone: stopped");
  });

  test("drops a turn that had not begun when it was stopped", async () => {
    const busy = [new Guest(engine), new Guest(engine)].map((guest) => guest.run("for (;;);", 200));
    const guest = new Guest(engine);
    const turn = guest.start(["ran = true"], 1_000)[0] as StartedTurn;
    turn.stop();
    expect(answer(await turn.result)).toBe("undone: stopped");
    await Promise.all(busy);
    expect(await guest.run("typeof ran")).toBe('"undefined"');
  });
});

describe("turns that are run together", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.start({ workers: 2 });
  });
  afterAll(() => engine.close());

  function runTogether(guest: Guest, codes: readonly string[], budget: number): Promise<TurnResult[]> {
    return Promise.all(guest.start(codes, budget).map(({ result }) => result));
  }

  const step = "console.log(n); n += 1";

  test.each([
    ["a loop", "n = 1000; console.log('lost'); for (;;);", 400, "undone: budget"],
    ["a builtin that polls for nothing", 'n = 1000; new Array(1e9) + ""', 400, "undone: budget"],
    [
      "a trap",
      "n = 1000; Reflect.ownKeys(new Proxy({}, { ownKeys() { return { length: 0x20000001 } } }))",
      10_000,
      "undone: trap",
    ],
    ["too much memory", "n = 1000; for (const l = []; ;) l.push(new Array(1000).fill(0))", 10_000, "undone: memory"],
  ])("are undone one by one: %s among them costs the others nothing", async (_what, culprit, budget, ending) => {
    const guest = new Guest(engine, 16 * MEBIBYTE);
    await guest.run("var n = 0");
    const results = await runTogether(guest, [step, step, culprit, step, culprit, step], budget);
    expect(results.map(answer)).toEqual(["1", "2", ending, "3", ending, "4"]);
    const logged = results.filter(({ kind }) => kind === "committed").map(({ console }) => console.length);
    expect(logged).toEqual([1, 1, 1, 1]);
    expect(await guest.run("n")).toBe("4");
  });

  test("are stopped one by one", async () => {
    const guest = new Guest(engine);
    await guest.run("var n = 0");
    const turns = guest.start([step, "for (;;);", step, step], 10_000);
    turns[2]?.stop();
    setTimeout(() => turns[1]?.stop(), 50);
    const results = await Promise.all(turns.map(({ result }) => result));
    expect(results.map(answer)).toEqual(["1", "undone: stopped", "undone: stopped", "2"]);
  });

  test("are stopped at once while they wait behind one that runs on, and never run", async () => {
    const guest = new Guest(engine);
    await guest.run("var ran = false");
    const turns = guest.start(["const end = Date.now() + 300; while (Date.now() < end); 'waited'", "ran = true"]);
    const order: string[] = [];
    const results = turns.map(async ({ result }) => order.push(answer(await result)));
    setTimeout(() => turns[1]?.stop(), 60);
    await Promise.all(results);
    expect(order).toEqual(["undone: stopped", '"waited"']);
    expect(await guest.run("ran")).toBe("false");
  });

  test("answer while later ones still run", async () => {
    const guest = new Guest(engine);
    const wait = "const end = Date.now() + 300; while (Date.now() < end); 'waited'";
    const turns = guest.start(["'quick'", wait, wait]);
    const order: string[] = [];
    await Promise.all(turns.map(async ({ result }, i) => order.push(`${i} ${answer(await result)}`)));
    expect(order).toEqual(['0 "quick"', '1 "waited"', '2 "waited"']);
  });

  test.runIf(isLong)("leave each worker's death to one of them", async () => {
    const guest = new Guest(engine);
    await guest.run("var n = 0");
    const spin = "n += 1; const until = Date.now() + 3; while (Date.now() < until); n";
    const hang = 'n += 1000; new Array(1e9) + ""';
    for (let round = 0; round < 4; round++) {
      await guest.run("n = 0");
      const codes = Array.from({ length: 9 }, (_, i) => (i === 2 + round ? hang : spin));
      const results = await runTogether(guest, codes, 400);
      const expected = codes.map((_, i) => (i === 2 + round ? "undone: budget" : `${i < 2 + round ? i + 1 : i}`));
      expect(results.map(answer)).toEqual(expected);
    }
  });
});

describe("sessions that share a batch", () => {
  test("do not wait behind one that is stuck, and lose nothing when its worker is ended", async () => {
    const engine = await Engine.start({ workers: 2 });
    try {
      const guests = Array.from({ length: 12 }, () => new Guest(engine, 16 * MEBIBYTE));
      await Promise.all(guests.map((guest) => guest.run("var n = 0")));
      for (let round = 0; round < 3; round++) {
        const hung = guests[round] as Guest;
        // Both workers are busy while these come, so that they are posted together.
        const busy = [new Guest(engine), new Guest(engine)].map((guest) =>
          guest.run("const end = Date.now() + 30; while (Date.now() < end);"),
        );
        const turns = guests.map(
          (guest) => guest.start([guest === hung ? 'n = 1e6; new Array(1e9) + ""' : "n += 1"], 20_000)[0],
        );
        const results = turns.map(async (turn) => answer((await turn?.result) as TurnResult));
        // Those who waited behind it would do so until its time is up.
        await Promise.all(results.filter((_, i) => i !== round));
        turns[round]?.stop();
        const answers = await Promise.all(results);
        await Promise.all(busy);
        const expected = guests.map((guest, i) =>
          guest === hung ? "undone: stopped" : String(round + 1 - (i < round ? 1 : 0)),
        );
        expect(answers).toEqual(expected);
      }
    } finally {
      await engine.close();
    }
  });
});

describe("turns that go back from a worker to the queue", () => {
  test("keep it that they were asked to stop", async () => {
    const engine = await Engine.start({ workers: 2 });
    try {
      const spin = (ms: number): string => `ran = true; const end = Date.now() + ${ms}; while (Date.now() < end); ran`;
      for (const delay of [10, 35, 50]) {
        const guests = Array.from({ length: 6 }, () => new Guest(engine));
        await Promise.all(guests.map((guest) => guest.run("var ran = false")));
        const busy = [new Guest(engine), new Guest(engine)].map((guest) => guest.run(spin(30)));
        const turns = guests.flatMap((guest, i) => guest.start([spin(i < 2 ? 250 : 60)]));
        await new Promise((resolve) => setTimeout(resolve, delay));
        for (const turn of turns.slice(2)) turn.stop();
        const answers = (await Promise.all(turns.map(({ result }) => result))).map(answer);
        await Promise.all(busy);
        expect(answers).toEqual(["true", "true", ...Array.from({ length: 4 }, () => "undone: stopped")]);
        for (const guest of guests.slice(2)) expect(await guest.run("ran")).toBe("false");
      }
    } finally {
      await engine.close();
    }
  });
});

test("a session with many turns leaves the worker to others between them", async () => {
  const engine = await Engine.start({ workers: 1 });
  try {
    const ended: string[] = [];
    const note = (name: string) => (result: TurnResult) => ended.push(`${name} ${answer(result)}`);
    const many = new Guest(engine);
    const other = new Guest(engine);
    // Each takes longer than a group may before it leaves the rest.
    const slow = "for (const end = Date.now() + 30; Date.now() < end; ); n++";
    await many.run("var n = 0");
    const turns = many.start([slow, slow, slow, slow]).map(({ result }) => result.then(note("many")));
    await Promise.all([...turns, other.turn("1").then(note("other"))]);
    expect(ended).toEqual(["many 0", "other 1", "many 1", "many 2", "many 3"]);
    const stopped = many.start([slow, slow, slow]);
    stopped[2]?.stop();
    const [first, second, third] = await Promise.all(stopped.map(({ result }) => result));
    expect([first, second, third].map((result) => answer(result as TurnResult))).toEqual(["4", "5", "undone: stopped"]);
    expect(await many.run("n")).toBe("6");
  } finally {
    await engine.close();
  }
});

describe("turns of one session on changing workers", () => {
  test("see one memory, whatever state it holds", async () => {
    const engine = await Engine.start({ workers: 2, rotateWorkers: true });
    try {
      const guest = new Guest(engine);
      await guest.run("let count = 0; function* steps() { for (;;) yield ++count } const walk = steps()");
      const workers = new Set<number>();
      for (let i = 1; i <= 100; i++) {
        expect(await guest.run("walk.next().value")).toBe(`${i}`);
        workers.add(guest.memory.lastWorker);
      }
      expect(workers.size).toBe(2);
      await guest.run("const big = 'x'.repeat(3e6)");
      expect(await guest.run("big.length + walk.next().value")).toBe("3000101");
      // What the host puts into the heap lies beyond what the other worker had known of it.
      for (let i = 2; i <= 5; i++) {
        await guest.run(`var more${i} = 'x'.repeat(3e6)`);
        expect(await guest.run(`"${"é".repeat(100_000)}".length + walk.next().value`)).toBe(`${100_100 + i}`);
      }
    } finally {
      await engine.close();
    }
  });
});

describe("turns of a session whose stores are tracked", () => {
  const SETUP = `
    let count = 0, list = [], tree = {}, text = "";
    const map = new Map(), weak = new WeakMap(), held = [];
    const bytes = new Uint8Array(3000), view = new DataView(new ArrayBuffer(20_000));
    function* steps() { for (;;) yield ++count }
    const walk = steps();
    const find = /(a+)b/g;
    class Box { #inner; constructor(inner) { this.#inner = inner } get inner() { return this.#inner } }
    const asyncs = [];
    0`;
  const CHANGES = [
    "count += walk.next().value",
    "for (let i = 0; i < 300; i++) list.push({ i, name: 'item ' + i, box: new Box(i) })",
    "list.splice(count % 7, 50)",
    "list.sort((a, b) => b.i - a.i)",
    "list = list.slice(list.length / 2 | 0)",
    "for (let i = 0; i < 100; i++) map.set('k' + (count * 31 + i) % 997, [i, { text: 'v'.repeat(i) }])",
    "for (const key of [...map.keys()].slice(0, 40)) map.delete(key)",
    "bytes.fill(count & 255); bytes.copyWithin(100, 0, 2000); bytes.set([1, 2, 3], 4096 % 2990)",
    "for (let i = 1; i < 19_000; i += 4093) { view.setFloat64(i, count + i); view.setBigInt64(i + 9, BigInt(i)) }",
    "text += JSON.stringify(list.slice(0, 20)).replace(find, '$1') + '\\\\u' + count",
    "tree['p' + count % 50] = { ...tree, self: undefined, when: [count, text.length] }; Object.freeze(tree['p' + count % 50])",
    "tree = {}; text = text.slice(-500)",
    "held.push(new ArrayBuffer(70_000), 'x'.repeat(50_000), new Float64Array(5_000).fill(count))",
    "held.length = held.length >> 1",
    "eval('var fresh' + count + ' = () => ' + count); new Function('a', 'return a + ' + count)(1)",
    "asyncs.push((async () => { await null; await null; return count++ })()); asyncs.length > 9 && asyncs.splice(0)",
    "weak.set({}, list); new WeakRef(list); try { null.x } catch (error) { tree.error = error.stack }",
    "const copy = structuredClone([...map]); map.clear(); for (const [k, v] of copy) map.set(k, v)",
    "crypto.randomUUID() + Math.random() + btoa('abc' + count) + new TextEncoder().encode(text).length",
    "new Uint8Array(view.buffer, 3, 9_001).reverse(); view.buffer.slice(1, 9_999).byteLength",
    `/* ${"a text of pages that the host writes ".repeat(800)} */ count`,
  ];

  /** Whether the table of pages was written to: only an instance that tracks its stores does. */
  const isTracked = ({ memory: { memory } }: Guest): boolean =>
    new Uint8Array(memory.buffer, TRACKED_PAGES, memory.buffer.byteLength / PAGE_BYTES).includes(1);

  /** Where the threshold of the engine's collector lies, in words: to have garbage collected sets nothing else. */
  const thresholdIn = (engine: Engine): number => {
    const memory = engine.createMemory(MEBIBYTE);
    const words = new Int32Array(memory.memory.buffer);
    const before = words.slice();
    engine.collectGarbageOf(memory);
    const threshold = words.findIndex((word, at) => word !== before[at]);
    engine.releaseMemory(memory);
    return threshold;
  };

  /** Has a turn undone. Whatever it changed, the session is then what it was, to the byte. */
  async function expectUndone(guest: Guest, code: string, budget: number): Promise<void> {
    // That a turn failed over garbage of former ones is put down, and not undone with it.
    const isCollectionDue = new Int32Array(guest.memory.memory.buffer)[thresholdIn(guest.engine)] === 0;
    if (isCollectionDue) await guest.run("[]");
    const before = guest.engine.saveImage(guest.memory);
    expect(answer(await guest.turn(code, budget))).toBe("undone: budget");
    const after = guest.engine.saveImage(guest.memory);
    expect(after.extent).toEqual(before.extent);
    expect(Buffer.from(after.pages).equals(Buffer.from(before.pages))).toBe(true);
  }

  const ROUNDS = isLong ? 120 : 12;

  // Pseudo-random, but the same in each run: a failure is one that can be looked at.
  const pick = (round: number, i: number): string =>
    CHANGES[(round * 7 + i * (3 + (round % 5)) * 11) % CHANGES.length] as string;

  test.each([
    { workers: 1, rotateWorkers: false },
    { workers: 2, rotateWorkers: true },
  ])("are undone to the byte, whatever turns before them changed: $workers workers", async (options) => {
    const engine = await Engine.start({ ...options, trackAbove: 0 });
    try {
      const guest = new Guest(engine);
      await guest.run(SETUP);
      let tracked = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const together = guest.start([0, 1, 2].map((i) => pick(round, i)));
        for (const { result } of together) expect(answer(await result)).not.toContain("undone");
        if (isTracked(guest)) tracked++;
        const spoil = [3, 4, 5, 6].map((i) => `{ ${pick(round, i)} }`).join(" ");
        await expectUndone(guest, `${spoil} for (;;);`, 30);
      }
      // But where the turn before was undone into another memory.
      expect(tracked).toBeGreaterThan(0);
    } finally {
      await engine.close();
    }
  });

  test("are undone alone where they share checkpoints with others, some of which are slow", async () => {
    const engine = await Engine.start({ workers: 1, trackAbove: 0 });
    const slowly = "{ const until = Date.now() + 4; while (Date.now() < until); }";
    // In five of them each is once the slow one, and the endless one at each place.
    const rounds = isLong ? 12 : 5;
    try {
      const [guest, twin] = [new Guest(engine), new Guest(engine)];
      const state = "JSON.stringify([list, [...map]])";
      const codesOf = (round: number): string[] =>
        [0, 1, 2, 3, 4].map((i) => {
          const change = `for (let i = 0; i < 200; i++) list.push({ at: ${round * 10 + i} }); map.set(list.length, [${i}]);`;
          return `${i === round % 5 ? slowly : ""} ${change} list.length`;
        });
      const answers: string[] = [];
      await guest.run("let list = [], map = new Map(); 0");
      for (let round = 0; round < rounds; round++) {
        const codes = codesOf(round);
        const endless = "list.length = 0; map.clear(); for (;;);";
        codes.splice(1 + (round % 4), 0, endless);
        // The others have ample time: a machine that stands still for a moment is not to undo them.
        const turns = guest.start(codes, (code) => (code === endless ? 50 : 5_000));
        for (const { result } of turns) answers.push(answer(await result));
      }
      const [tracked, told] = [isTracked(guest), await guest.run(state)];
      expect(tracked).toBe(true);
      const expected: string[] = [];
      await twin.run("let list = [], map = new Map(); 0");
      for (let round = 0; round < rounds; round++)
        for (const code of codesOf(round)) expected.push(await twin.run(code));
      expect(answers.filter((each) => each !== "undone: budget")).toEqual(expected);
      expect(told).toBe(await twin.run(state));
    } finally {
      await engine.close();
    }
  });

  test("leave a memory that they made grow, and the next ones go on from there", async () => {
    const engine = await Engine.start({ workers: 1, trackAbove: 0 });
    try {
      const guest = new Guest(engine);
      await guest.run(SETUP);
      for (let round = 0; round < (isLong ? 6 : 2); round++) {
        for (let i = 0; i < 4; i++) await guest.run(pick(round, i));
        const { memory } = guest.memory;
        await expectUndone(guest, "held.push(new Uint8Array(9e6).fill(1)); list.length = 0; for (;;);", 60);
        expect(guest.memory.memory).not.toBe(memory);
        for (let i = 4; i < 8; i++) await guest.run(pick(round, i));
        await expectUndone(guest, "map.clear(); list.length = 0; bytes.fill(9); for (;;);", 20);
      }
    } finally {
      await engine.close();
    }
  });

  test("go on in another worker when theirs was ended, from the same bytes", async () => {
    const engine = await Engine.start({ workers: 1, trackAbove: 0 });
    try {
      const guest = new Guest(engine);
      await guest.run(SETUP);
      for (let round = 0; round < (isLong ? 3 : 1); round++) {
        for (const change of CHANGES) await guest.run(change);
        await expectUndone(guest, `${CHANGES.slice(0, 6).join(";")}; new Array(1e9) + ""`, 60);
      }
    } finally {
      await engine.close();
    }
  });

  test("count a store for both pages that it is in, and bytes that came from outside for all of theirs", async () => {
    const engine = await Engine.start({ workers: 1, trackAbove: 0 });
    try {
      const guest = new Guest(engine);
      await guest.run("const view = new DataView(new ArrayBuffer(6_000)); let given; 0");
      // From the end on, so that nothing else is written to the second page later.
      for (let at = 5_000; at >= 0; at -= 7) await guest.run(`view.setFloat64(${at}, ${at})`);
      // Below the top of the heap, where nothing is copied for being new.
      await guest.run("let holes = [0, 1, 2, 3].map(() => new ArrayBuffer(60_000)), end = {}; 0");
      await guest.run("holes = [holes[1], holes[3]]; 0");
      const bytes = new Uint8Array(50_000).fill(7);
      await guest.give({ kind: "defineGlobals", globals: new Map([["given", { kind: "bytes", bytes }]]) });
      await expectUndone(guest, "for (;;);", 10);
      expect(isTracked(guest)).toBe(true);
    } finally {
      await engine.close();
    }
  });

  test("are those of a large heap that is called again and again, also after nobody needed it for a while", async () => {
    const engine = await Engine.start({ workers: 1, unusedAfter: 400 });
    try {
      const guest = new Guest(engine, 64 * MEBIBYTE);
      await guest.run("const rows = Array.from({ length: 100_000 }, (_, i) => ({ i, at: [i] })); let sum = 0; 0");
      const touch = async (i: number): Promise<boolean> => {
        await guest.run(`rows[${i * 1999}].i = -1; sum += rows[${i}].at[0]`);
        return isTracked(guest);
      };
      // Turns that the machine holds up are not short beside a copy.
      let calls = 0;
      await expect.poll(() => touch(calls++ % 50), { timeout: 10_000, interval: 1 }).toBe(true);
      await expectUndone(guest, "for (const row of rows) row.i = 0; for (;;);", 30);
      await expect.poll(() => engine.instances, { timeout: 5_000 }).toBe(0);
      const slowly = "{ const until = Date.now() + 30; while (Date.now() < until); }";
      await guest.run(`for (const row of rows) row.i = -2; ${slowly}`);
      await expectUndone(guest, "for (const row of rows) row.at = 0; for (;;);", 30);
      expect(await guest.run("rows.filter(({ i, at }) => i === -2 && at.length === 1).length")).toBe("100000");
    } finally {
      await engine.close();
    }
  });
});

test("workers let go of instances that nobody needs, and sessions go on in others", async () => {
  const engine = await Engine.start({ workers: 1, unusedAfter: 400 });
  try {
    const guests = [new Guest(engine), new Guest(engine)];
    for (const guest of guests) await guest.run("let count = 0; const next = () => ++count");
    expect(engine.instances).toBe(2);
    await expect.poll(() => engine.instances, { timeout: 5_000 }).toBe(0);
    for (const guest of guests) expect(await guest.run("next()")).toBe("1");
  } finally {
    await engine.close();
  }
});

test("a memory that is used again holds nothing of before, wherever the top of the heap was", async () => {
  const engine = await Engine.start({ workers: 1 });
  try {
    const first = engine.createMemory(32 * MEBIBYTE);
    const { memory } = first;
    const marked = new Uint8Array(memory.buffer, memory.buffer.byteLength - 64);
    marked.fill(7);
    engine.releaseMemory(first);
    const second = engine.createMemory(32 * MEBIBYTE);
    expect(second.memory).toBe(memory);
    expect([...marked]).toEqual(Array(64).fill(0));
  } finally {
    await engine.close();
  }
});

test("an undone turn leaves the last bytes of the last block as they were, also where a page begins with them", async () => {
  const engine = await Engine.start({ workers: 1 });
  try {
    const guest = new Guest(engine);
    const { memory } = guest.memory;
    // The word that is the top of the heap: that which rises by as much as a block takes that fits nowhere below.
    const tops = async (bytes: number): Promise<[before: Int32Array, after: Int32Array]> => {
      const before = new Int32Array(memory.buffer).slice(0, 90_000 >> 2);
      await guest.run(`var block = new Uint8Array(${bytes}), hold; block.fill(1); 0`);
      return [before, new Int32Array(memory.buffer).slice(0, 90_000 >> 2)];
    };
    await guest.run("var block, hold; 0");
    const [before, after] = await tops(1 << 20);
    const rose = [...before.keys()].filter((i) => {
      const by = (after[i] ?? 0) - (before[i] ?? 0);
      return (before[i] ?? 0) > 5_333_088 && by > 1 << 20 && by < (1 << 20) + 65_536;
    });
    const word = Math.min(...rose);
    let met = 0;
    // Of these sizes the allocator puts the last four bytes into the header of the chunk behind.
    for (let size = 4_100; size <= 12_292 && (isLong || met === 0); size += 8) {
      await guest.run(`hold = undefined; hold = new Uint8Array((1 << 20) + ${size}).fill(7); 0`);
      if ((new Int32Array(memory.buffer)[word] ?? 0) % 4096 !== 0) continue;
      met++;
      const undone = await guest.turn("var more = new Uint8Array(3 << 20); more.fill(9); for (;;);", 50);
      expect(undone.kind).toBe("undone");
      expect(await guest.run("hold.findIndex((byte) => byte !== 7)")).toBe("-1");
    }
    expect(met).toBeGreaterThan(0);
  } finally {
    await engine.close();
  }
});

test("nobody is to blame for what ends a worker between two turns, or before anything of the second ran", async () => {
  const engine = await Engine.start({ workers: 1 });
  try {
    const guest = new Guest(engine);
    expect(await guest.run("await null; await null; 6 * 7")).toBe("42");
    expect(engine.runningExecution(guest.memory)).toBe(0);
  } finally {
    await engine.close();
  }
});
