/** What the compiler knows of guests. Nothing here is run: `npm run types` checks it. */
import type {
  Copied,
  ExecutionPromise,
  ExecutionStream,
  Guest,
  GuestCall,
  GuestMember,
  Handle,
  HostCallContext,
  Session,
} from "@livescope/sdk";
import { describe, expectTypeOf, test } from "vitest";
import type * as Shop from "../support/guests/shop.js";

type Row = Shop.Row;

/** Wraps what is only to be checked: calling it would need a server. */
function checked(_check: (guest: Guest<typeof Shop>, session: Session) => unknown): void {}

describe("a guest", () => {
  test("has functions that give promises of what they give there", () => {
    checked((guest) => {
      expectTypeOf(guest.inc(3)).toEqualTypeOf<GuestCall<number>>();
      expectTypeOf(guest.inc(3)).toExtend<ExecutionPromise<number>>();
      expectTypeOf(guest.later("x")).resolves.toEqualTypeOf<string>();
      expectTypeOf(guest.math.stats.mean([1])).resolves.toEqualTypeOf<number>();
      expectTypeOf(guest.fail("x")).resolves.toEqualTypeOf<never>();
      // @ts-expect-error An argument of another type.
      guest.inc("3");
      // @ts-expect-error One too few.
      guest.inc();
      // @ts-expect-error One too many.
      guest.inc(1, 2);
      // @ts-expect-error No such name.
      guest.dec;
      // @ts-expect-error No such name below.
      guest.math.stats.median([1]);
    });
  });

  test("has values that are read by asking, and are places until then", () => {
    checked(async (guest) => {
      expectTypeOf(guest.version.$value()).resolves.toEqualTypeOf<string>();
      expectTypeOf(guest.config.limits.most.$value()).resolves.toEqualTypeOf<number>();
      expectTypeOf(await guest.config).toExtend<GuestMember<typeof Shop.config>>();
      // @ts-expect-error A place is no text.
      guest.version.length + 1;
      // @ts-expect-error Awaiting a place does not read it.
      (await guest.made) + 1;
      // @ts-expect-error Nothing is written from here.
      guest.version = "2.0";
      // @ts-expect-error A value is not called.
      guest.version();
    });
  });

  test("has the members that are known, also where there may be others", () => {
    interface Settings {
      readonly rate: number;
      readonly apply?: (n: number) => string;
      readonly [name: string]: unknown;
    }
    checked(async (_guest, session) => {
      const { settings } = await session.load<{ readonly settings: Settings }>("");
      expectTypeOf(settings.rate.$value()).resolves.toEqualTypeOf<number>();
      expectTypeOf(settings.apply(1)).resolves.toEqualTypeOf<string>();
      expectTypeOf(settings.$at("other").$value()).resolves.toEqualTypeOf<unknown>();
      // @ts-expect-error An argument of another type.
      settings.apply("1");
    });
  });

  test("has what its functions have there, and not what functions have here", () => {
    checked((guest) => {
      // @ts-expect-error It would be bound in the session, and a promise here.
      guest.inc.bind(undefined);
      expectTypeOf(guest.inc.length).toEqualTypeOf<never>();
      expectTypeOf(guest.math.toString).toEqualTypeOf<never>();
      expectTypeOf(guest.odd.toString()).resolves.toEqualTypeOf<string>();
      expectTypeOf(guest.odd.name.$value()).resolves.toEqualTypeOf<string>();
    });
  });

  test("is no promise, and its own names hide none", () => {
    expectTypeOf<Awaited<Guest<typeof Shop>>>().toEqualTypeOf<Guest<typeof Shop>>();
    expectTypeOf<"then" extends keyof Guest<typeof Shop.promised> ? true : false>().toEqualTypeOf<false>();
    checked((guest) => {
      expectTypeOf(guest.promised.$at("then")(1)).resolves.toEqualTypeOf<number>();
      expectTypeOf(guest.$at("$value")()).resolves.toEqualTypeOf<string>();
      expectTypeOf(guest.$at("math").double(1)).resolves.toEqualTypeOf<number>();
      // @ts-expect-error No such name.
      guest.$at("nothing");
    });
  });

  test("keeps its type with options", () => {
    checked((guest) => {
      expectTypeOf(guest.$with({ timeout: 100 })).toEqualTypeOf<GuestMember<typeof Shop>>();
      expectTypeOf(guest.$with({ timeout: 100 }).inc(1)).resolves.toEqualTypeOf<number>();
      // @ts-expect-error No such option.
      guest.$with({ timeLimit: 100 });
      // @ts-expect-error Only what was given is released.
      guest.math[Symbol.asyncDispose];
    });
  });

  test("of unknown type asks for names, and gives unknown values", () => {
    checked(async (_guest, session) => {
      const untyped = await session.load("export const f = () => 1");
      expectTypeOf(untyped).toEqualTypeOf<Guest<unknown>>();
      expectTypeOf(untyped.$at("f")(1, "x")).resolves.toEqualTypeOf<unknown>();
      expectTypeOf(untyped.$at("a").$at("b").$value()).resolves.toEqualTypeOf<unknown>();
      // @ts-expect-error Nobody said that there is one.
      untyped.f();
    });
  });
});

describe("what comes out", () => {
  test("is the type itself where it is data", () => {
    interface Tree {
      readonly value: bigint | undefined;
      readonly children?: Tree[];
    }
    expectTypeOf<Copied<Row>>().toEqualTypeOf<Row>();
    expectTypeOf<Copied<Row[]>>().toEqualTypeOf<Row[]>();
    expectTypeOf<Copied<[number, string?]>>().toEqualTypeOf<[number, string?]>();
    expectTypeOf<Copied<Map<string, Set<Date>>>>().toEqualTypeOf<Map<string, Set<Date>>>();
    expectTypeOf<Copied<Uint8Array | null>>().toEqualTypeOf<Uint8Array | null>();
    expectTypeOf<Copied<"a" | "b" | boolean>>().toEqualTypeOf<"a" | "b" | boolean>();
    expectTypeOf<Copied<unknown>>().toEqualTypeOf<unknown>();
    expectTypeOf<Copied<void>>().toEqualTypeOf<void>();
    expectTypeOf<Copied<Tree>>().toExtend<Tree>();
    expectTypeOf<Tree>().toExtend<Copied<Tree>>();
  });

  test("is the type itself also where that is a list of itself", () => {
    type Json = string | number | boolean | null | readonly Json[] | { [key: string]: Json };
    checked(async (_guest, session) => {
      const rules = await session.load<{ json(value: Json): Json; nested(value: Nested): Nested }>("");
      type Nested = number | Nested[][];
      const json: Json = await rules.json({ all: [1, ["text", null]] });
      await rules.json(json);
      const nested: Nested = await rules.nested([[1, [[2]]]]);
      await rules.nested(nested);
      // @ts-expect-error It is no JSON.
      rules.json([undefined]);
      // @ts-expect-error Nor is this.
      rules.json({ all: new Date(0) });
    });
  });

  test("is a guest where it stays", () => {
    expectTypeOf<Copied<(n: number) => string>>().toEqualTypeOf<Guest<(n: number) => string>>();
    expectTypeOf<Copied<Promise<number>>>().toEqualTypeOf<Guest<Promise<number>>>();
    expectTypeOf<Copied<{ f: () => number }[]>>().toExtend<{ f?: Guest<() => number> }[]>();
    checked((guest) => {
      expectTypeOf(guest.adder(1)).resolves.toEqualTypeOf<Guest<(n: number) => number>>();
      expectTypeOf(guest.adder.$keep(1)).resolves.toEqualTypeOf<Guest<(n: number) => number>>();
    });
  });

  test("has no methods where it was copied, and is kept by asking", () => {
    checked(async (guest) => {
      const copied = await guest.makeCounter(1);
      expectTypeOf(copied.n).toEqualTypeOf<number>();
      // @ts-expect-error The methods of a class stay behind.
      copied.up();
      expectTypeOf(guest.makeCounter.$keep(1)).resolves.toEqualTypeOf<Guest<Shop.Counter>>();
      expectTypeOf(guest.makeCounterLater.$keep(1)).resolves.toEqualTypeOf<Guest<Shop.Counter>>();
      expectTypeOf(guest.main.$ref()).resolves.toEqualTypeOf<Guest<Shop.Counter>>();
    });
  });

  test("of a class that is constructed has its methods", () => {
    checked(async (guest) => {
      await using counter = await new guest.Counter(5);
      expectTypeOf(counter).toEqualTypeOf<Guest<Shop.Counter>>();
      expectTypeOf(counter.up(2)).resolves.toEqualTypeOf<number>();
      expectTypeOf(counter.n.$value()).resolves.toEqualTypeOf<number>();
      expectTypeOf(counter.$handle).toEqualTypeOf<Handle>();
      expectTypeOf(guest.Counter.named(1)).resolves.toExtend<{ n: number }>();
      // @ts-expect-error An argument of another type.
      new guest.Counter("5");
      // @ts-expect-error It comes later.
      new guest.Counter(5).up();
      // @ts-expect-error No class.
      new guest.config();
      // @ts-expect-error Classes are not called.
      guest.Counter(5);
    });
  });

  test("of an abstract class is not constructed", () => {
    abstract class Shape {
      static named(name: string): string {
        return name;
      }
      abstract area(): number;
    }
    checked(async (_guest, session) => {
      const shapes = await session.load<{ readonly Shape: typeof Shape }>("");
      expectTypeOf(shapes.Shape.named("x")).resolves.toEqualTypeOf<string>();
      // @ts-expect-error Only what extends it is.
      new shapes.Shape();
    });
  });

  test("is iterated over where it can be there", () => {
    checked(async (guest) => {
      for await (const row of guest.rows(1)) expectTypeOf(row).toEqualTypeOf<Row>();
      for await (const row of guest.rowsLater(1)) expectTypeOf(row).toEqualTypeOf<Row>();
      for await (const n of guest.bag) expectTypeOf(n).toEqualTypeOf<number>();
      expectTypeOf(guest.rows(1).stream<Row>()).toExtend<ExecutionStream<Row, unknown>>();
      const generator = await guest.rows(1);
      for await (const row of generator) expectTypeOf(row).toEqualTypeOf<Row>();
      // @ts-expect-error Texts are values.
      for await (const _ of guest.later("x"));
    });
  });
});

describe("what goes in", () => {
  test("may be a function of this process, which may take its time", () => {
    checked((guest) => {
      guest.mapRows([], (row, index, context) => {
        expectTypeOf(row).toEqualTypeOf<Row>();
        expectTypeOf(index).toEqualTypeOf<number>();
        expectTypeOf(context).toEqualTypeOf<HostCallContext>();
      });
      guest.mapRows([], async () => 1);
      guest.withAdder(async (add) => {
        expectTypeOf(add).toEqualTypeOf<Guest<(n: number) => number>>();
        return await add(1);
      });
      // @ts-expect-error It has to give a number.
      guest.withAdder(() => "text");
      // @ts-expect-error It is given a row.
      guest.mapRows([], (row: string) => row);
    });
  });

  test("may be any number of arguments, also where the list of them is readonly", () => {
    checked(async (_guest, session) => {
      interface Lists {
        sum(...numbers: readonly number[]): number;
        readonly List: new (...items: readonly string[]) => { readonly length: number };
        each(f: (...numbers: readonly number[]) => void): void;
      }
      const lists = await session.load<Lists>("");
      expectTypeOf(lists.sum(1, 2)).resolves.toEqualTypeOf<number>();
      expectTypeOf(new lists.List("a", "b")).resolves.toEqualTypeOf<Guest<{ readonly length: number }>>();
      lists.each((...numbers) => numbers.length);
      // @ts-expect-error Not a number.
      lists.sum("1");
    });
  });

  test("is a list where all that can be iterated over will do", () => {
    checked(async (guest, session) => {
      interface Sums {
        sum(numbers: Iterable<number>, further?: { readonly rows: Iterable<Row> }): number;
      }
      const sums = await session.load<Sums>("");
      sums.sum([1, 2], { rows: [{ id: 1, name: "a" }] });
      sums.sum(guest.bag);
      // @ts-expect-error Not numbers.
      sums.sum(["1"]);
      // @ts-expect-error Its own iterator would stay here.
      sums.sum([1].values());
    });
  });

  test("may be a guest, a place or a handle of such a value", () => {
    checked(async (guest, session) => {
      const counter = await new guest.Counter(1);
      guest.read(counter);
      guest.read(guest.main);
      guest.read(counter.$handle);
      guest.math.double(counter.n);
      guest.mapRows([], guest.$at("later") as never);
      const { use } = await session.load<{ use(f: (n: number) => number, box: { counter: Shop.Counter }): void }>("");
      use(guest.math.double, { counter });
      // @ts-expect-error A place of another type.
      guest.math.double(guest.version);
      // @ts-expect-error Within another value a place is nothing that can be sent.
      use(guest.math.double, { counter: guest.main });
      // @ts-expect-error Its methods would stay here.
      guest.read({ n: 1 });
      // @ts-expect-error A function of another type.
      use(guest.later, { counter });
    });
  });
});

describe("other ways to a guest", () => {
  test("are the session's names, and any handle", () => {
    checked(async (_guest, session) => {
      const names = session.guest<{ inc(n: number): number }>();
      expectTypeOf(names.inc(1)).resolves.toEqualTypeOf<number>();
      // @ts-expect-error There is nothing to release.
      names[Symbol.asyncDispose];
      const handle = await session.handle("x");
      expectTypeOf(handle.as<Shop.Counter>()).toEqualTypeOf<Guest<Shop.Counter>>();
    });
  });
});
