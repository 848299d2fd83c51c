import { type Value, Handle as WireHandle } from "@livescope/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LivescopeError } from "./errors.js";
import { Handle, type HandleOwner, Preview } from "./handle.js";
import { decodeValue, encodeValue, encodeValues } from "./values.js";

const description = WireHandle.create({ handleId: "h1", type: "function", className: "Function", arity: 2 });
const handle = (released = false) => new Handle(description, { holds: () => !released } as unknown as HandleOwner);
const json = (text: string): Value => ({ kind: { $case: "json", value: text } });
const decode = (value: Value | undefined) => decodeValue(value, (wire) => new Preview(wire));

describe("a value that is sent", () => {
  it.each<[string, unknown, string]>([
    ["null", null, "null"],
    ["a boolean", true, "true"],
    ["a number", -1.5e300, "-1.5e+300"],
    ["minus zero", -0, "-0"],
    ["a string", 'a"\u0000\u2028é', JSON.stringify('a"\u0000\u2028é')],
    ["a lone surrogate", "\ud800", '"\\ud800"'],
    ["an array", [1, [], [null, "x"]], '[1,[],[null,"x"]]'],
    ["an object", { a: 1, "b c": {}, "": [0] }, '{"a":1,"b c":{},"":[0]}'],
    ["an own __proto__", JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
  ])("is JSON text: %s", (_, value, text) => {
    expect(encodeValue(value, "value")).toStrictEqual(json(text));
  });

  it("has an arm of its own if it is undefined, bytes or a handle", () => {
    expect(encodeValue(undefined, "value").kind).toBeUndefined();
    const bytes = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
    expect(encodeValue(bytes, "value").kind).toStrictEqual({ $case: "bytes", value: Buffer.from([2, 3]) });
    expect(encodeValue(handle(), "value").kind).toMatchObject({ $case: "handle", value: { handleId: "h1" } });
  });

  it("may hold the same object twice", () => {
    const shared = { a: 1 };
    expect(encodeValue([shared, shared], "value")).toStrictEqual(json('[{"a":1},{"a":1}]'));
  });

  it("may come from another realm", async () => {
    const { runInNewContext } = await import("node:vm");
    expect(encodeValue(runInNewContext("({ a: {} })"), "value")).toStrictEqual(json('{"a":{}}'));
  });

  it("comes back equal", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(decode(encodeValue(value, "value"))).toStrictEqual(value);
      }),
    );
  });
});

class Point {
  x = 1;
}
const cycle: Record<string, unknown> = {};
cycle.self = { cycle };

describe("a value that JSON would change", () => {
  it.each<[string, unknown, string]>([
    ["undefined inside", { a: [undefined] }, "value.a[0] is undefined"],
    ["a function", () => 1, "value is a function"],
    ["a symbol", [Symbol("s")], "value[0] is a symbol"],
    ["a BigInt", { n: 1n }, "value.n is a bigint"],
    ["NaN", Number.NaN, "value is NaN"],
    ["an infinity", [-Infinity], "value[0] is -Infinity"],
    ["a Date", { at: new Date(0) }, "value.at is an object of class Date"],
    ["a Map", new Map(), "value is an object of class Map"],
    ["a Set", new Set(), "value is an object of class Set"],
    ["a RegExp", /x/, "value is an object of class RegExp"],
    ["an Error", new Error("x"), "value is an object of class Error"],
    ["a boxed number", Object(1), "value is an object of class Number"],
    ["an ArrayBuffer", new ArrayBuffer(1), "value is an object of class ArrayBuffer"],
    ["a class instance", [new Point()], "value[0] is an object of class Point"],
    ["an object without prototype", Object.create(null), "value is an object without prototype"],
    ["a cycle", cycle, "value.self.cycle is an object that contains itself"],
    ["a hole", new Array(2), "value is an array with holes"],
    ["an array with properties", Object.assign([1], { x: 1 }), "value is an array with holes or with properties"],
    ["an array of a class of its own", new (class Row extends Array {})(), "value is an object of class Row"],
    ["a symbol as key", { [Symbol("s")]: 1 }, "value is an object with symbols as keys"],
    ["toJSON", { toJSON: () => 1 }, "value.toJSON is a function"],
    ["bytes inside", [new Uint8Array(1)], "value[0] is a Uint8Array inside another value"],
    ["a handle inside", { f: handle() }, "value.f is a handle inside another value"],
  ])("is refused: %s", (_, value, message) => {
    expect(() => encodeValue(value, "value")).toThrow(TypeError);
    expect(() => encodeValue(value, "value")).toThrow(message);
  });

  it("is named by its binding", () => {
    expect(() => encodeValues({ ok: 1, user: { born: new Date() } }, "bindings")).toThrow(
      "bindings.user.born is an object",
    );
  });

  it("is told from a handle that was released", () => {
    expect(() => encodeValue(handle(true), "args[0]")).toThrow(LivescopeError);
    expect(() => encodeValue(handle(true), "args[0]")).toThrow("args[0] is a handle that was released");
  });
});

describe("a value that comes", () => {
  it("is read from every arm that may come", () => {
    expect(decode(undefined)).toBeUndefined();
    expect(decode({})).toBeUndefined();
    expect(decode({ kind: { $case: "data", value: "[1]" } })).toStrictEqual([1]);
    const preview = decode({ kind: { $case: "handle", value: description } });
    expect(preview).toMatchObject({ type: "function", className: "Function", arity: 2 });
  });

  it("keeps an own __proto__ and a -0", () => {
    const value = decode(json('{"__proto__":{"x":1},"z":-0}')) as Record<string, unknown>;
    expect(Object.keys(value)).toStrictEqual(["__proto__", "z"]);
    expect(value.x).toBeUndefined();
    expect(value.z).toBe(-0);
  });

  it("is a Uint8Array that stands on its own", () => {
    const bytes = decode({ kind: { $case: "bytes", value: Buffer.from([1, 2]) } }) as Uint8Array;
    expect(bytes).toStrictEqual(new Uint8Array([1, 2]));
    expect(bytes.buffer.byteLength).toBe(2);
  });

  it("is refused in the graph encoding", () => {
    expect(() => decode({ kind: { $case: "graph", value: "[]" } })).toThrow("the value came as graph");
  });
});
