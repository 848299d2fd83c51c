import * as devalue from "devalue";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LivescopeError } from "../errors.js";
import { decodeGraph } from "./decode.js";
import { encodeGraph } from "./encode.js";

const encode = (value: unknown) => encodeGraph(value, "value", () => "h1");
const decode = (text: string) => decodeGraph(text, (handle) => handle);
const roundTrip = (value: unknown) => decode(encode(value));

const cycle: Record<string, unknown> = { list: [] };
cycle.self = cycle;
(cycle.list as unknown[]).push(cycle);
const buffer = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer;
const sparse: number[] = [];
sparse[4_294_967_294] = 1;

/** What devalue knows as well: the encoding is its own, with a few types more. */
const COMMON: readonly [string, unknown][] = [
  ["undefined", undefined],
  ["NaN", Number.NaN],
  ["minus zero inside", [-0]],
  ["infinities", [Infinity, -Infinity]],
  ["a BigInt", 2n ** 200n],
  ["a Date", new Date(1234)],
  ["an invalid Date", new Date(Number.NaN)],
  ["a RegExp", /a+\/"/giu],
  ["a Map with objects as keys", new Map<unknown, unknown>([[{ k: 1 }, new Set([[1]])]])],
  ["a cycle", cycle],
  ["holes", Object.assign(new Array(5), { 1: 1, 3: 2 })],
  ["a sparse array", sparse],
  ["no prototype", Object.assign(Object.create(null), { a: 1, b: [undefined] })],
  ["boxed primitives", [Object(1), Object("x"), Object(false), Object(1n), Object(-0)]],
  ["views that share a buffer", [new Uint8Array(buffer, 1, 3), new Float64Array(buffer), new DataView(buffer, 2, 2)]],
  ["a lone surrogate", { "\ud800": "\udfff" }],
];

describe("a graph", () => {
  it.each(COMMON)("is read and written by devalue as well: %s", (_, value) => {
    expect(roundTrip(value)).toStrictEqual(value);
    expect(devalue.parse(encode(value))).toStrictEqual(value);
    expect(decode(devalue.stringify(value))).toStrictEqual(value);
  });

  it("keeps what is one object one object", () => {
    const [bytes, doubles] = roundTrip([new Uint8Array(buffer, 1, 3), new Float64Array(buffer)]) as [
      Uint8Array,
      Float64Array,
    ];
    expect(bytes.buffer).toBe(doubles.buffer);
    expect(bytes).toMatchObject({ byteOffset: 1, length: 3 });
  });

  it("keeps an own __proto__ as it is", () => {
    const value = roundTrip([JSON.parse('{"__proto__":{"polluted":1}}')]) as [Record<string, unknown>];
    expect(Object.getOwnPropertyNames(value[0])).toStrictEqual(["__proto__"]);
    expect(value[0].polluted).toBeUndefined();
  });

  it("keeps properties of arrays, and where a RegExp was", () => {
    const match = /b/.exec("abc");
    expect(roundTrip(match)).toStrictEqual(match);
    const regexp = /b/g;
    regexp.test("abc");
    expect((roundTrip(regexp) as RegExp).lastIndex).toBe(2);
  });

  it.each([Number.POSITIVE_INFINITY, 1.5, 2 ** 32, "0x10"])(
    "begins a regular expression anew whose lastIndex is %s",
    (lastIndex) => {
      const regexp = Object.assign(/b/g, { lastIndex });
      expect(roundTrip(regexp)).toEqual(/b/g);
      expect((roundTrip(regexp) as RegExp).lastIndex).toBe(0);
    },
  );

  it("keeps errors: class, name, cause, errors and properties, but not the client's stack", () => {
    class OddError extends RangeError {
      override name = "OddError";
      code = 7;
    }
    const cause = new TypeError("inner");
    const error = new AggregateError([new OddError("odd"), cause, 5], "outer", { cause });
    const copy = roundTrip(error) as AggregateError;
    expect(copy).toBeInstanceOf(AggregateError);
    expect(copy.message).toBe("outer");
    expect(copy.errors[1]).toBe(copy.cause);
    expect(copy.cause).toBeInstanceOf(TypeError);
    expect(copy.errors[0]).toBeInstanceOf(RangeError);
    expect(copy.errors[0]).toMatchObject({ name: "OddError", message: "odd", code: 7 });
    expect(copy.stack).toBe("AggregateError: outer");
    expect(encode(error)).not.toContain("graph.test");
    const self = new Error("self");
    self.cause = self;
    const again = roundTrip(self) as Error;
    expect(again.cause).toBe(again);
  });

  it("has of objects of derived classes what those of the language have, whatever the methods say", () => {
    class LocalDate extends Date {
      override getTime = () => Number.NaN;
      override toISOString = () => "1970-01-01T08:00:00.000+08:00";
    }
    class Vector extends Float32Array {
      override get [Symbol.toStringTag]() {
        return "Vector" as "Float32Array";
      }
    }
    class Items extends Map<string, number> {
      override [Symbol.iterator] = () => this.values() as never;
    }
    class Bag extends Set<number> {
      override [Symbol.iterator] = () => [0].values();
    }
    class Money extends Number {
      override valueOf = () => Number.NaN;
    }
    class Name extends String {
      override valueOf = () => "another";
    }
    class Pattern extends RegExp {
      override get source() {
        return "(";
      }
      override get flags() {
        return "";
      }
    }
    expect(roundTrip(new Money(5))).toStrictEqual(new Number(5));
    expect(roundTrip(new Name("it"))).toStrictEqual(new String("it"));
    expect(roundTrip(new Pattern("a", "gi"))).toStrictEqual(/a/gi);
    expect(roundTrip(new LocalDate(5))).toStrictEqual(new Date(5));
    expect(roundTrip(new Vector([1, 2]))).toStrictEqual(new Float32Array([1, 2]));
    expect(roundTrip(new Items([["a", 1]]))).toStrictEqual(new Map([["a", 1]]));
    expect(roundTrip(new Bag([1, 2]))).toStrictEqual(new Set([1, 2]));
  });

  it("keeps name and message of a DOMException", () => {
    const copy = roundTrip(AbortSignal.abort().reason) as Error;
    expect(copy).toBeInstanceOf(Error);
    expect(copy).toMatchObject({ name: "AbortError", message: "This operation was aborted" });
  });

  it("shows the guest's frames as an error's stack", () => {
    const text = '[["Error",4],"TypeError","no","    at f (a.js:1:2)\\n",{"type":1,"message":2,"stack":3}]';
    expect((decode(text) as Error).stack).toBe("TypeError: no\n    at f (a.js:1:2)");
  });

  it("does not send the memory that a Buffer shares with others", () => {
    const secret = Buffer.from("secret");
    const text = encode([Buffer.from("open")]);
    expect(text).toBe(`[[1],["Uint8Array",2],["ArrayBuffer","${Buffer.from("open").toString("base64")}"]]`);
    expect(secret.length).toBe(6);
  });

  it("may be nested as deep as one likes", () => {
    let deep: unknown = [];
    for (let i = 0; i < 100_000; i++) deep = [deep];
    let copy = roundTrip(deep) as unknown[];
    let levels = 0;
    for (; copy.length > 0; levels++) copy = copy[0] as unknown[];
    expect(levels).toBe(100_000);
  });

  it("comes back equal, whatever is in it", () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    fc.assert(
      fc.property(anything, (value) => {
        expect(roundTrip(value)).toStrictEqual(value);
      }),
    );
  });

  it("with a regular expression that is none here is an error", () => {
    expect(() => decode('[["RegExp","(?<x","g"]]')).toThrow(LivescopeError);
    expect(() => decode('[["RegExp","(?<x","g"]]')).toThrow("/(?<x/g, which this JavaScript does not read");
  });

  const NONE = ["[]", "{}", "[[1]]", "[[0.5]]", '[["Nope",0]]', "-9", '[["Error",0]]', "[[true]]", '"x"', "null"];
  const UNREADABLE = [
    "",
    "[",
    '[["BigInt","x"]]',
    "[[-7,-1]]",
    '[["Object",0]]',
    '[["Float64Array",1,1],["ArrayBuffer",""]]',
  ];
  it.each([...NONE, ...UNREADABLE])("that is none is an error: %s", (text) => {
    expect(() => decode(text)).toThrow(LivescopeError);
  });
});
