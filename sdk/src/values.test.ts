import { type Value, Handle as WireHandle } from "@livescope/proto";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { LivescopeError } from "./errors.js";
import { Handle, type HandleOwner, Preview } from "./handle.js";
import { decodeValue, encodeValue, encodeValues } from "./values.js";

const description = WireHandle.create({ handleId: "h1", type: "function", className: "Function", arity: 2 });
const handle = (released = false) =>
  new Handle(description, { holds: () => !released, whereReleased: () => undefined } as unknown as HandleOwner);
const json = (text: string): Value => ({ kind: { $case: "json", value: text } });
const decode = (value: Value | undefined) => decodeValue(value, (wire) => new Preview(wire));

describe("a value that is sent", () => {
  it.each<[string, unknown, string]>([
    ["null", null, "null"],
    ["a boolean", true, "true"],
    ["a number", -1.5e300, "-1.5e+300"],
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
    expect(encodeValue(bytes, "value").kind).toStrictEqual({ $case: "bytes", value: new Uint8Array([2, 3]) });
    expect(encodeValue(handle(), "value").kind).toMatchObject({ $case: "handle", value: { handleId: "h1" } });
  });

  it("is as it was when it was sent, whatever is done to it afterwards", () => {
    const bytes = new Uint8Array([1, 2]);
    const [alone, within] = [encodeValue(bytes, "value"), encodeValue([bytes], "value")];
    bytes.fill(9);
    expect([decode(alone), decode(within)]).toStrictEqual([new Uint8Array([1, 2]), [new Uint8Array([1, 2])]]);
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

const graph = (text: string): Value => ({ kind: { $case: "graph", value: text } });
const shared = { a: 1 };

describe("a value that JSON would change", () => {
  it.each<[string, unknown, string]>([
    ["minus zero", -0, "-6"],
    ["undefined inside", { a: [undefined] }, '[{"a":1},[-1]]'],
    ["a shared object", [shared, shared], '[[1,1],{"a":2},1]'],
    [
      "a class instance",
      new (class Point {
        x = 1;
      })(),
      '[{"x":1},1]',
    ],
    ["bytes inside", [new Uint8Array([1])], '[[1],["Uint8Array",2],["ArrayBuffer","AQ=="]]'],
    ["a handle inside", { f: handle() }, '[{"f":1},["Handle","h1"]]'],
    [
      "an accessor",
      {
        get a() {
          return 1;
        },
      },
      '[{"a":1},1]',
    ],
  ])("goes as a graph: %s", (_, value, text) => {
    expect(encodeValue(value, "value")).toStrictEqual(graph(text));
  });

  it("is told from a handle that was released", () => {
    expect(() => encodeValue(handle(true), "args[0]")).toThrow(LivescopeError);
    expect(() => encodeValue({ f: handle(true) }, "args[0]")).toThrow("args[0].f is a handle that was released");
  });
});

const detached = new Uint8Array(8);
describe("a value that cannot be copied", () => {
  beforeAll(() => void structuredClone(detached.buffer, { transfer: [detached.buffer] }));

  it.each<[string, unknown, string]>([
    ["a function", () => 1, "value is a function"],
    ["a symbol", [Symbol("s")], "value[0] is a symbol"],
    ["toJSON", { toJSON: () => 1 }, "value.toJSON is a function"],
    ["a promise", new Map([["k", [Promise.resolve()]]]), "value(k)[0] is a promise"],
    ["a weak collection", { w: new WeakSet() }, "value.w is a WeakSet"],
    ["an iterator", [1].values(), "value is an iterator"],
    ["a generator", (function* () {})(), "value is a generator"],
    ["a buffer that went elsewhere", { b: detached.buffer }, "value.b is a detached ArrayBuffer"],
    ["bytes that went elsewhere", detached, "value is a view of a detached ArrayBuffer"],
    ["such bytes inside", [Buffer.from(detached.buffer)], "value[0] is a view of a detached ArrayBuffer"],
  ])("is refused: %s", (_, value, message) => {
    expect(() => encodeValue(value, "value")).toThrow(TypeError);
    expect(() => encodeValue(value, "value")).toThrow(message);
  });

  it("is named by its binding", () => {
    expect(() => encodeValues({ ok: 1, user: { born: () => 1 } }, "bindings")).toThrow(
      "bindings.user.born is a function",
    );
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

  it("is an error of the service where its JSON is none", () => {
    expect(() => decode({ kind: { $case: "json", value: "{" } })).toThrow(LivescopeError);
  });

  it("is a Uint8Array that stands on its own", () => {
    const bytes = decode({ kind: { $case: "bytes", value: Buffer.from([1, 2]) } }) as Uint8Array;
    expect(bytes).toStrictEqual(new Uint8Array([1, 2]));
    expect(bytes.buffer.byteLength).toBe(2);
  });

  it("is read from a graph, with what stands for its handles", () => {
    const value = decode(graph('[[1,1,-1],["Handle","h1","function","Function","[Function: f]",2]]')) as unknown[];
    expect(value).toMatchObject([{ type: "function", arity: 2, preview: "[Function: f]" }, {}, undefined]);
    expect(value[0]).toBe(value[1]);
  });
});
