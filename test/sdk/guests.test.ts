import { readFileSync } from "node:fs";
import { format, inspect } from "node:util";
import { type Guest, GuestError, type GuestMember, Handle, type Session, StoppedError } from "@livescope/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as Shop from "../support/guests/shop.js";
import { withServer } from "../support/server.js";

const SHOP = readFileSync(new URL("../support/guests/shop.ts", import.meta.url), "utf8");

const served = withServer();
let session: Session;
let guest: Guest<typeof Shop>;

beforeAll(async () => {
  session = await served.client.createSession();
  guest = await session.load<typeof Shop>(SHOP, { filename: "shop.ts" });
});
afterAll(() => session.delete());

/** How many executions a session has run while something was done. */
async function executionsDuring(work: () => unknown): Promise<number> {
  const seen: unknown[] = [];
  const end = new AbortController();
  const watched = (async () => {
    for await (const event of session.watch({ signal: end.signal })) seen.push(event.kind);
  })().catch(() => undefined);
  await expect.poll(() => seen).toContain("session");
  await work();
  await session.execute("1");
  await expect.poll(() => seen).toContain("finished");
  end.abort();
  await watched;
  return seen.filter((kind) => kind === "finished").length - 1;
}

describe("a guest", () => {
  test("calls what a module exports, however deep", async () => {
    expect(await guest.inc(3)).toBe(3);
    expect(await guest.inc(4)).toBe(7);
    expect(await guest.later("soon")).toBe("soon!");
    expect(await guest.math.stats.mean([1, 2, 6])).toBe(3);
    expect(await guest.math.stats.me()).toBe(true);
    const { value, usage } = await guest.inc(0).execution();
    expect([value, usage.turns]).toEqual([7, 1]);
  });

  test("reads values when it is told to, and never otherwise", async () => {
    expect(await guest.version.$value()).toBe("1.0");
    expect(await guest.config.$value()).toEqual({
      currency: "EUR",
      limits: { most: 3 },
      since: new Date(0),
      names: new Map([["a", 1]]),
    });
    expect(await guest.config.limits.most.$value()).toBe(3);
    const during = await executionsDuring(async () => {
      const { config } = guest;
      void [config.limits.most, guest.inc, config.currency];
    });
    expect(during).toBe(0);
  });

  test("is no promise, and is not taken for what it stands for", async () => {
    const returned = async (): Promise<GuestMember<typeof Shop>> => guest;
    const during = await executionsDuring(async () => {
      expect(await guest).toBe(guest);
      expect(await returned()).toBe(guest);
      expect(await Promise.resolve(guest)).toBe(guest);
      expect(await Promise.all([guest.math])).toHaveLength(1);
      expect("then" in guest || "then" in guest.promised).toBe(false);
      expect(JSON.stringify({ guest, other: 1 })).toBe('{"other":1}');
      expect(JSON.stringify([guest.promised])).toBe("[null]");
      expect(inspect(guest.math.stats)).toBe("[Guest: math.stats]");
      expect(format("%o %s", guest.odd["a.b"], guest.math.double)).toContain("Guest");
      expect(`${guest.math.double}`).toBe("[Guest: math.double]");
      expect(Object.keys(guest)).toEqual([]);
      expect({ ...guest }).toEqual({});
      expect(() => Number(guest.version)).toThrow("$value()");
      // @ts-expect-error A place is no number.
      expect(() => guest.math.double * 2).toThrow("read it with await");
      expect(Reflect.get(guest.math, inspect.custom)()).toBe("[Guest: math]");
      for (const symbol of [Symbol.iterator, Symbol.toStringTag, Symbol.species, Symbol.dispose ?? Symbol()]) {
        expect(Reflect.get(guest, symbol)).toBeUndefined();
      }
    });
    expect(during).toBe(0);
  });

  test("cannot be changed from here", () => {
    expect(() => Object.assign(guest, { version: "2.0" })).toThrow("cannot set version of");
    expect(() => Reflect.deleteProperty(guest.config, "currency")).toThrow("cannot delete currency of config");
    expect(() => Object.defineProperty(guest, "x", { value: 1 })).toThrow(TypeError);
  });

  test("has every name that the module has", async () => {
    expect(await guest.$at("$value")()).toBe("the guest's own $value");
    expect(await guest.promised.$at("then")(1)).toBe(2);
    expect(await guest.promised.$at("toJSON")()).toBe("json");
    expect(await guest.odd["a.b"]()).toBe("dotted");
    expect(await guest.odd.toString()).toBe("odd");
    expect(await guest.odd.name.$value()).toBe("named");
    expect(await guest.$at("math").$at("double")(4)).toBe(8);
  });

  test("throws what the guest throws, with its frames and those of the caller", async () => {
    const error = await guest.fail("too much").catch((thrown) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({ guestName: "RangeError", message: "too much", frames: [{ filename: "shop.ts" }] });
    expect(error.stack).toContain("guests.test.ts");
    // @ts-expect-error There is no such function.
    await expect(guest.math.nothing()).rejects.toMatchObject({ guestName: "TypeError" });
    // @ts-expect-error There is no such object.
    await expect(guest.nothing.at.all.$value()).rejects.toMatchObject({ guestName: "TypeError" });
  });

  test("takes options for the calls that are made from it", async () => {
    await using slow = await session.load<{ spin(): void; user(): string; deep: { user(): string } }>(
      "export const spin = () => { for (;;); }; export const user = () => locals.user; export const deep = { user }",
    );
    const stopped = await slow
      .$with({ timeout: 50 })
      .spin()
      .catch((error: unknown) => error);
    expect(stopped).toBeInstanceOf(StoppedError);
    expect(await slow.$with({ locals: { user: "ann" } }).user()).toBe("ann");
    expect(
      await slow
        .$with({ locals: { user: "ann" } })
        .$with({ timeout: 1_000 })
        .deep.user(),
    ).toBe("ann");
    expect(await slow.deep.$with({ locals: { user: "bob" } }).user()).toBe("bob");
    const requestId = crypto.randomUUID();
    const before = await guest.inc(0);
    await guest.$with({ requestId }).inc(1);
    expect(await guest.$with({ requestId }).inc(1)).toBe(before + 1);
    const aborted = AbortSignal.abort(new Error("not now"));
    await expect(guest.$with({ signal: aborted }).inc(1)).rejects.toThrow("not now");
  });

  test("runs in the order of its calls, among all others of the tick", async () => {
    const start = await guest.inc(0);
    const sums = [guest.inc(1), session.execute<number>("(await import('shop.ts')).inc(10)"), guest.inc(100)];
    expect(await Promise.all(sums)).toEqual([start + 1, start + 11, start + 111]);
  });

  test("sends arguments as they are when it is called", async () => {
    const numbers = [1, 2, 3];
    const mean = guest.math.stats.mean(numbers);
    numbers.push(1_000);
    expect(await mean).toBe(2);
  });
});

describe("what cannot be copied", () => {
  test("is a guest of its own", async () => {
    await using add = await guest.adder(10);
    expect(await add(5)).toBe(15);
    expect(inspect(add)).toContain("Guest");
    expect(add.$handle).toBeInstanceOf(Handle);
    await using generator = await guest.rows(2);
    expect(await generator.next()).toEqual({ value: { id: 0, name: "row 0" }, done: false });
  });

  test("is made by constructing it, and has its methods", async () => {
    await using counter = await new guest.Counter(5);
    expect([await counter.up(), await counter.up(4)]).toEqual([6, 10]);
    expect(await counter.n.$value()).toBe(10);
    expect(await counter.$value()).toEqual({ n: 10 });
    expect(counter.$handle.className).toBe("Counter");
    expect(await guest.read(counter)).toBe(10);
    await expect(new guest.Counter(Symbol.iterator as never)).rejects.toThrow("args[0] is a symbol");
    await using named = await new guest.Counter(guest.main.n);
    expect(await named.n.$value()).toBe(await guest.main.n.$value());
  });

  test("is kept where it would be copied, when that is asked for", async () => {
    expect(await guest.makeCounter(1)).toEqual({ n: 1 });
    for (const make of [guest.makeCounter, guest.makeCounterLater, guest.Counter.named]) {
      await using counter = await make.$keep(1);
      expect(await counter.up()).toBe(2);
    }
    await using main = await guest.main.$ref();
    expect(await main.up()).toBe(101);
    expect(await guest.main.up()).toBe(102);
    expect(await main.n.$value()).toBe(102);
  });

  test("is let go when its block is left, and all places in it with it", async () => {
    const count = async (): Promise<number> => (await session.info()).handleCount;
    const before = await count();
    let left: Guest<Shop.Counter>;
    {
      await using counter = await new guest.Counter(1);
      await using same = counter.$handle.as<Shop.Counter>();
      expect(await same.up()).toBe(2);
      left = counter;
      expect(await count()).toBe(before + 1);
    }
    expect(await count()).toBe(before);
    await expect(left.up()).rejects.toThrow("released");
    await expect(left.n.$value()).rejects.toThrow("released");
  });

  test("makes no promise of an object, whatever its names are", async () => {
    const during = await executionsDuring(async () => {
      const made = await guest.makePromised();
      expect(made.then).toBeInstanceOf(Handle);
      expect(await made).toBe(made);
      expect(await made.deep[0]?.also?.()).toBe(1);
    });
    expect(during).toBe(2);
  });

  test("is released once by each that was given, and by nothing else", async () => {
    await using counter = await new guest.Counter(1);
    const first = await counter.$ref();
    await using second = await counter.$ref();
    expect(second.$handle).toBe(first.$handle);
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    for (const place of [second.n, second.$with({ timeout: 1_000 })]) {
      await (place as unknown as AsyncDisposable)[Symbol.asyncDispose]();
    }
    expect(await second.up()).toBe(2);
  });

  test("goes on in a fork", async () => {
    await using counter = await new guest.Counter(1);
    await using fork = await session.fork();
    await using there = counter.$handle.in(fork).as<Shop.Counter>();
    expect([await there.up(), await counter.up(), await there.up()]).toEqual([2, 2, 3]);
  });
});

describe("arguments", () => {
  const rows: Shop.Row[] = [
    { id: 1, name: "a" },
    { id: 2, name: "b", tags: ["x"] },
  ];

  test("may be functions of this process", async () => {
    expect(await guest.mapRows(rows, (row, index) => `${index}${row.name}`)).toEqual(["0a", "1b"]);
    expect(await guest.mapRows(rows, async ({ tags }) => tags?.length)).toEqual([undefined, 1]);
    expect(await guest.mapRows(rows, (_row, _index, { session: calling }) => calling === session)).toEqual([
      true,
      true,
    ]);
    await expect(guest.mapRows(rows, () => Promise.reject(new RangeError("mine")))).rejects.toMatchObject({
      guestName: "RangeError",
      message: "mine",
    });
  });

  test("of those functions are guests where they cannot be copied", async () => {
    const total = await guest.inc(0);
    expect(await guest.withAdder((add) => add(1))).toBe(total + 1);
    expect(await guest.withAdder(async (add) => (await add(1)) + (await add(2)))).toBe(2 * total + 3);
  });

  test("may be guests, places in them, and handles", async () => {
    await using counter = await new guest.Counter(7);
    expect(await guest.read(counter)).toBe(7);
    expect(await guest.read(guest.main)).toBe(await guest.main.n.$value());
    expect(await guest.read(counter.$handle)).toBe(7);
    expect(await guest.math.double(counter.n)).toBe(14);
    await using map = await session.load<{ map(list: number[], f: (n: number) => number): number[] }>(
      "export const map = (list, f) => list.map((n) => f(n))",
    );
    expect(await map.map([1, 2], guest.math.double)).toEqual([2, 4]);
    await using again = await new (await session.load<typeof Shop>(SHOP, { filename: "shop.ts" })).Counter(counter.n);
    expect(await again.up()).toBe(8);
    expect(await session.call("Object.keys", [counter])).toEqual(["n"]);
    expect(await session.execute("box.counter.up()", { bindings: { box: { counter } } })).toBe(8);
  });

  test("that cannot be sent are refused, and say what to do", async () => {
    await expect(session.call("Object.keys", [guest.math])).rejects.toThrow("send what its $ref() gives");
    await expect(session.execute("x", { bindings: { x: { deep: guest.math } } })).rejects.toThrow(
      "bindings.x.deep is a place within a guest (math)",
    );
    await using other = await served.client.createSession();
    await using stranger = await other.load<{ n: number }>("export const n = 1");
    await expect(guest.math.double(stranger.n)).rejects.toThrow("another session object");
    await expect(new guest.Counter(stranger.n)).rejects.toThrow("another session object");
    await expect(guest.math.double(Symbol.iterator as never)).rejects.toThrow("arg0 is a symbol");
  });
});

describe("iterating", () => {
  test("gives values as they are made", async () => {
    const ids: number[] = [];
    for await (const row of guest.rows(40)) ids.push(row.id);
    expect(ids).toEqual(Array.from({ length: 40 }, (_, id) => id));
    const names: string[] = [];
    for await (const { name } of guest.rowsLater(2)) names.push(name);
    expect(names).toEqual(["row 0", "row 1"]);
  });

  test("runs no further ahead than some values, and ends when the loop is left", async () => {
    const before = await guest.made.$value();
    for await (const row of guest.$with({ timeout: 60_000 }).rows(1_000_000)) {
      if (row.id === 2) break;
    }
    expect((await guest.made.$value()) - before).toBeLessThan(40);
  });

  test("goes over whatever can be iterated over there", async () => {
    const all: number[] = [];
    for await (const n of guest.openBag()) all.push(n);
    for await (const n of guest.bag) all.push(n);
    for await (const n of guest.list()) all.push(n);
    expect(all).toEqual([1, 2, 3, 1, 2, 3, 4, 5]);
    const wrong = async (): Promise<void> => {
      // @ts-expect-error A number cannot be iterated over.
      for await (const _ of guest.inc(0)) throw new Error("a value came");
    };
    await expect(wrong()).rejects.toMatchObject({ guestName: "TypeError" });
  });

  test("may begin later, where the generator waits", async () => {
    const call = guest.rows(3);
    await undefined;
    await using generator = await call;
    expect(await generator.next()).toMatchObject({ value: { id: 0 } });
    const ids: number[] = [];
    for await (const row of generator) ids.push(row.id);
    for await (const row of call) ids.push(row.id);
    expect(ids).toEqual([1, 2]);
  });

  test("gives what is emitted, and then the result, of any call", async () => {
    await using emitter = await session.load<{ run(n: number): Promise<string> }>(
      "export async function run(n) { for (let i = 0; i < n; i++) await emit(i); return 'done' }",
    );
    const stream = emitter.run(3).stream<number>();
    const values: number[] = [];
    for await (const value of stream) values.push(value);
    expect([values, (await stream.execution()).value]).toEqual([[0, 1, 2], "done"]);
    const late = emitter.run(1);
    await undefined;
    expect(() => late.stream()).toThrow("in the same expression");
    expect(await late).toBe("done");
  });

  test("fails where the values are read", async () => {
    await using bad = await session.load<{ values(): Generator<number> }>(
      "export function* values() { yield 1; throw new RangeError('over') }",
    );
    const seen: number[] = [];
    const reading = (async () => {
      for await (const n of bad.values()) seen.push(n);
    })();
    await expect(reading).rejects.toMatchObject({ guestName: "RangeError" });
    expect(seen).toEqual([1]);
  });
});

describe("loading", () => {
  test("takes text, TypeScript by its name or when told, and modules that it imports", async () => {
    await using typed = await session.load<{ n: number }>("export const n: number = 1", { language: "typescript" });
    expect(await typed.n.$value()).toBe(1);
    await using joined = await session.load<{ sum(): number }>(
      "import { a } from './a.js'; export const sum = () => a + 1",
      {
        filename: "lib/sum.js",
        modules: { "lib/a.js": "export const a = 41" },
      },
    );
    expect(await joined.sum()).toBe(42);
    await using known = await session.load<{ a: number }>({ name: "lib/a.js" });
    expect(await known.a.$value()).toBe(41);
  });

  test("gives all that the module exports at once, if asked for a copy", async () => {
    await using loaded = await session.load<{ a: number; deep: { list: number[] }; f(): number }>(
      "export const a = 1; export const deep = { list: [2] }; export const f = () => 3",
    );
    const { f, ...data } = await loaded.$value();
    expect(data).toEqual({ a: 1, deep: { list: [2] } });
    expect(await f?.()).toBe(3);
    await using other = await served.client.createSession({ setup: "let x = 1; const y = [2]" });
    expect(await other.guest<{ x: number; y: number[] }>().$value()).toEqual({ x: 1, y: [2] });
  });

  test("fails as the module fails", async () => {
    await expect(session.load("export const = 1")).rejects.toMatchObject({ guestName: "SyntaxError", phase: "PARSE" });
    await expect(session.load("throw new Error('no')")).rejects.toThrow("no");
    await expect(session.load({ name: "nowhere.js" })).rejects.toMatchObject({ guestName: "ReferenceError" });
  });

  test("of another text under the same name gives the new module, and leaves the old one to who has it", async () => {
    await using first = await session.load<{ n: number }>("export const n = 1", { filename: "again.js" });
    await using second = await session.load<{ n: number }>("export const n = 2", { filename: "again.js" });
    expect([await first.n.$value(), await second.n.$value()]).toEqual([1, 2]);
  });

  test("gives what importing gives, where a module is itself thenable: nest it", async () => {
    const text = "export const then = (n) => n * 2; export const other = 1";
    await using nested = await session.load<{ it: { then(n: number): number; other: number } }>(
      "export * as it from './thenable.js'",
      { modules: { "thenable.js": text } },
    );
    expect(await nested.it.$at("then")(21)).toBe(42);
    expect(await nested.it.other.$value()).toBe(1);
  });

  test("is not needed for what the session has", async () => {
    await session.execute("let count = 1; const api = { add(n) { return count += n }, list: [1, 2] }");
    const names = session.guest<{ count: number; api: { add(n: number): number; list: number[] } }>();
    expect(await names.api.add(2)).toBe(3);
    expect(await names.count.$value()).toBe(3);
    expect(await guest.math.double(names.count)).toBe(6);
    expect(await names.api.list.push(3)).toBe(3);
    await using api = await session.handle("api");
    expect(await api.as<{ add(n: number): number }>().add(1)).toBe(4);
  });

  test("within an atomic sequence is undone with it", async () => {
    const before = await guest.inc(0);
    await expect(
      session.atomic(async () => {
        expect(await guest.inc(5)).toBe(before + 5);
        throw new Error("changed my mind");
      }),
    ).rejects.toThrow("changed my mind");
    expect(await guest.inc(0)).toBe(before);
  });
});
