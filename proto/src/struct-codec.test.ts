import { create, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { type Value as StructValue, ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvalidData, MAX_DATA_BYTES, MAX_DATA_DEPTH, StructLimitError, Value } from "./struct-codec.js";

const encode = (json: string) => Value.encode(json).finish();
const decode = (bytes: Uint8Array) => Value.unwrap(Value.decode(bytes));
const roundTrip = (json: string) => decode(encode(json));

/** The bytes of a google.protobuf.Value as another implementation writes them. */
const struct = (kind: StructValue["kind"]) => toBinary(ValueSchema, create(ValueSchema, { kind }));
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const nestedObjects = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;

const jsonText = fc.json({ maxDepth: 6, stringUnit: "binary" });

/** Anything JSON with keys that objects treat specially, as text, since a literal would set the prototype. */
const hostileJson = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium" },
    fc.constantFrom("null", "true", "-0", "1e300", '"\\u0000"', '"é\\ud83d\\ude00"', "[]", "{}"),
    fc.array(tie("value"), { maxLength: 4 }).map((items) => `[${items.join(" , ")}]`),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom("__proto__", "constructor", "toString", "", "a.b"), tie("value")), {
        maxLength: 4,
        selector: ([key]) => key,
      })
      .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)} : ${value}`).join(",\n")}}`),
  ),
})).value;

describe("JSON text to wire and back", () => {
  it("gives JSON text of the same value", () => {
    fc.assert(
      fc.property(jsonText, (json) => {
        expect(JSON.parse(String(roundTrip(json)))).toStrictEqual(JSON.parse(json));
      }),
    );
  });

  it("gives the same text where the text has the form that JSON.stringify gives", () => {
    fc.assert(
      fc.property(hostileJson, (json) => {
        const text = String(roundTrip(json));
        expect(text.replaceAll("-0", "0")).toBe(JSON.stringify(JSON.parse(json)));
      }),
    );
  });

  it("keeps a key __proto__ as an own key, in both directions", () => {
    expect(roundTrip('{"__proto__":{"polluted":1},"constructor":{"prototype":2}}')).toBe(
      '{"__proto__":{"polluted":1},"constructor":{"prototype":2}}',
    );
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("keeps -0, and both members of a key that an object has twice", () => {
    expect(roundTrip("[-0,0]")).toBe("[-0,0]");
    expect(roundTrip('{"a":1,"a":2}')).toBe('{"a":1,"a":2}');
  });

  it("writes what another implementation reads", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4, stringUnit: "grapheme" }), (value) => {
        const json = JSON.stringify(value);
        expect(toJson(ValueSchema, fromBinary(ValueSchema, encode(json)))).toEqual(JSON.parse(json));
      }),
    );
  });

  it("reads what another implementation writes", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4, stringUnit: "grapheme" }), (value) => {
        const plain = JSON.parse(JSON.stringify(value)) as JsonValue;
        expect(JSON.parse(String(decode(toBinary(ValueSchema, fromJson(ValueSchema, plain)))))).toEqual(plain);
      }),
    );
  });
});

describe("JSON text that is none", () => {
  it.each([
    "",
    " ",
    "nul",
    "nulll",
    "undefined",
    "NaN",
    "01",
    "+1",
    "1.",
    ".5",
    "1e",
    "-",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[",
    "]",
    "[1",
    "{",
    "{,}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "{'a':1}",
    '"',
    '"\\x"',
    '"\\',
    '"\\u12"',
    '"\n"',
    "1 1",
    "[1]]",
  ])("is refused: %j", (json) => {
    expect(() => JSON.parse(json)).toThrow(SyntaxError);
    expect(() => encode(json)).toThrow(SyntaxError);
  });

  it("is refused wherever JSON.parse refuses it, and nowhere else", () => {
    const read = (parse: (json: string) => unknown, json: string) => {
      try {
        return parse(json);
      } catch (error) {
        return error instanceof StructLimitError ? error : SyntaxError;
      }
    };
    const mutated = fc.tuple(fc.json(), fc.nat(), fc.constantFrom("", ",", '"', "}", "]", "\\", "0", " ", "e"));
    fc.assert(
      fc.property(mutated, ([json, at, put]) => {
        const text = json.slice(0, at % json.length) + put + json.slice((at % json.length) + 1);
        const ours = read((valid) => JSON.parse(String(roundTrip(valid))), text);
        // A mutation may have made a number too large or an escape half of a pair: both are tested by themselves.
        fc.pre(!(ours instanceof StructLimitError));
        expect(ours).toStrictEqual(read(JSON.parse, text));
      }),
      { numRuns: 2_000 },
    );
  });

  it("is a TypeError where it is not even text", () => {
    expect(() => Value.wrap({ a: 1 })).toThrow(TypeError);
    expect(() => Value.wrap(new InvalidData("data is too deep"))).toThrow(new StructLimitError("data is too deep"));
  });
});

describe("limits", () => {
  it(`allow ${MAX_DATA_DEPTH} levels of lists or objects and not one more`, () => {
    for (const make of [nested, nestedObjects]) {
      expect(roundTrip(make(MAX_DATA_DEPTH))).toBe(make(MAX_DATA_DEPTH));
      expect(() => encode(make(MAX_DATA_DEPTH + 1))).toThrow(StructLimitError);
      expect(() => encode(make(1_000_000))).toThrow(StructLimitError);
    }
    let list: JsonValue = [];
    for (let depth = 1; depth < MAX_DATA_DEPTH; depth++) list = [list];
    expect(decode(toBinary(ValueSchema, fromJson(ValueSchema, list)))).toBe(nested(MAX_DATA_DEPTH));
    const tooDeep = decode(toBinary(ValueSchema, fromJson(ValueSchema, [list])));
    expect(tooDeep).toBeInstanceOf(InvalidData);
    expect(tooDeep).toHaveProperty("message", expect.stringContaining("send it as json"));
  });

  it(`allow ${MAX_DATA_BYTES} encoded bytes and not one more`, () => {
    // A tag and a length of three bytes stand before the string.
    const largest = "x".repeat(MAX_DATA_BYTES - 4);
    expect(encode(`"${largest}"`)).toHaveLength(MAX_DATA_BYTES);
    expect(roundTrip(`"${largest}"`)).toBe(`"${largest}"`);
    expect(() => encode(`"${largest}x"`)).toThrow(StructLimitError);
    expect(() => encode(`"${largest.slice(1)}é"`)).toThrow(StructLimitError);
    const tooLarge = decode(struct({ case: "stringValue", value: `${largest}x` }));
    expect(tooLarge).toBeInstanceOf(InvalidData);
    expect(tooLarge).toHaveProperty("message", expect.stringContaining("send it as json"));
  });

  it("refuse a list of a million numbers", () => {
    const million = `[${"1,".repeat(999_999)}1]`;
    const element = toBinary(ValueSchema, fromJson(ValueSchema, [1])).subarray(2);
    const elements = new Uint8Array(element.length * 1_000_000);
    for (let i = 0; i < 1_000_000; i++) elements.set(element, i * element.length);
    const bytes = new BinaryWriter().uint32(50).bytes(elements).finish();

    expect(decode(bytes)).toBeInstanceOf(InvalidData);
    expect(() => encode(million)).toThrow(StructLimitError);
  });
});

describe("what the two forms cannot share", () => {
  it.each([NaN, Infinity, -Infinity])("%d on the wire is an InvalidData", (value) => {
    expect(decode(struct({ case: "numberValue", value }))).toBeInstanceOf(InvalidData);
  });

  it("a number beyond a double and a lone surrogate are a StructLimitError", () => {
    expect(() => encode("1e999")).toThrow(StructLimitError);
    expect(() => encode('"\\ud800"')).toThrow(StructLimitError);
    expect(() => encode('{"\\udc00":1}')).toThrow(StructLimitError);
  });

  it("a Value without a kind is null, wherever it stands", () => {
    expect(decode(new Uint8Array())).toBe("null");
    expect(decode(struct({ case: "listValue", value: { $typeName: "google.protobuf.ListValue", values: [] } }))).toBe(
      "[]",
    );
    expect(decode(new Uint8Array([0x32, 2, 0x0a, 0]))).toBe("[null]");
    expect(decode(new Uint8Array([0x2a, 2, 0x0a, 0]))).toBe('{"":null}');
  });

  it("of several kinds the last counts, and lists and structs that follow each other are one", () => {
    const list = encode("[1]");
    expect(decode(new Uint8Array([...list, ...encode("true")]))).toBe("true");
    expect(decode(new Uint8Array([...list, ...encode("[]"), ...encode("[2,3]")]))).toBe("[1,2,3]");
    expect(decode(new Uint8Array([...list, ...encode('{"a":1}')]))).toBe('{"a":1}');
    expect(decode(new Uint8Array([...list, ...encode("null"), ...encode("[2]")]))).toBe("[2]");
  });

  it("unknown fields are passed over", () => {
    expect(decode(new Uint8Array([0x38, 5, ...encode('"a"'), 0x42, 1, 0]))).toBe('"a"');
  });
});

it("bytes that are no google.protobuf.Value are an error or JSON text or an InvalidData, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      let json: string | InvalidData;
      try {
        json = decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        return;
      }
      if (typeof json === "string") JSON.parse(json);
      else expect(json).toBeInstanceOf(InvalidData);
    }),
    { numRuns: 5_000 },
  );
  const bytes = encode('{"a":[1,"b",{"c":null}]}');
  for (let length = 1; length < bytes.length; length++) expect(() => decode(bytes.subarray(0, length))).toThrow(Error);
});
