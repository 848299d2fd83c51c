/**
 * The codec of google.protobuf.Value: wire to JSON text and back, without JavaScript objects between. The generated code calls
 * it for the `data` arm of sandbox.v1.Value, so that field holds JSON text (a string) on both sides of the wire, or an
 * InvalidData where what came over the wire has no JSON text or is too large.
 *
 * Objects are avoided because keys come from untrusted code: an own key `__proto__` has to survive, and a million list
 * elements must not become a million objects.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** The largest encoded google.protobuf.Value that is read or written, in bytes. */
export const MAX_DATA_BYTES = 1024 * 1024;

/** How many lists and objects may stand inside each other in a google.protobuf.Value that is read or written. */
export const MAX_DATA_DEPTH = 48;

/** Thrown when JSON text is encoded that google.protobuf.Value cannot carry, or not within the limits. */
export class StructLimitError extends Error {
  override readonly name = "StructLimitError";
}

/**
 * Stands in a decoded message's `data` in place of the JSON text when the value that came is over a limit or has no JSON form.
 * Decoding does not throw for these, because a message that fails to decode can only be answered INTERNAL; whoever reads
 * `data` checks for it and answers INVALID_ARGUMENT with its message. It cannot be encoded.
 */
export class InvalidData {
  /** What is wrong with the value and what to do about it. */
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const TOO_LARGE = `data is over ${MAX_DATA_BYTES} bytes: send it as json`;
const TOO_DEEP = `data has lists and objects more than ${MAX_DATA_DEPTH} levels deep: send it as json`;
const NOT_FINITE = "data has a number that is not finite, which JSON cannot carry: send it as graph";
const LONE_SURROGATE = "data has a string that is no valid Unicode, which protobuf cannot carry: send it as json";

const tag = (field: number, type: WireType): number => (field << 3) | type;

// google.protobuf.Value
const NULL_VALUE = tag(1, WireType.Varint);
const NUMBER_VALUE = tag(2, WireType.Bit64);
const STRING_VALUE = tag(3, WireType.LengthDelimited);
const BOOL_VALUE = tag(4, WireType.Varint);
const STRUCT_VALUE = tag(5, WireType.LengthDelimited);
const LIST_VALUE = tag(6, WireType.LengthDelimited);
// google.protobuf.Struct, an entry of its map, and google.protobuf.ListValue
const STRUCT_FIELD = tag(1, WireType.LengthDelimited);
const ENTRY_KEY = tag(1, WireType.LengthDelimited);
const ENTRY_VALUE = tag(2, WireType.LengthDelimited);
const LIST_ELEMENT = tag(1, WireType.LengthDelimited);

/** What the generated code calls for a field of type google.protobuf.Value. */
export const Value = {
  /**
   * Gives `encode` what a message's field holds.
   * @throws {StructLimitError} if the field holds an InvalidData
   * @throws {TypeError} if the field holds anything else than JSON text
   */
  wrap(field: unknown): string {
    if (typeof field === "string") return field;
    if (field instanceof InvalidData) throw new StructLimitError(field.message);
    throw new TypeError("the data of a Value is JSON text: use JSON.stringify");
  },

  /**
   * Writes JSON text as the body of a google.protobuf.Value. Of a key that an object has twice both are written; readers take
   * the last.
   * @throws {SyntaxError} if the text is not JSON
   * @throws {StructLimitError} if it is over a limit, or holds a lone surrogate or a number beyond what a double holds
   */
  encode(json: string, writer: BinaryWriter = new BinaryWriter()): BinaryWriter {
    return writer.raw(new JsonToWire(json).run());
  },

  /**
   * Reads the body of a google.protobuf.Value, `length` bytes or all there are.
   * @throws {RangeError} if a length inside it leads beyond its end, as for every malformed message
   */
  decode(input: BinaryReader | Uint8Array, length?: number): string | InvalidData {
    const reader = input instanceof BinaryReader ? input : new BinaryReader(input);
    const end = length === undefined ? reader.len : reader.pos + length;
    if (end > reader.len) throw new RangeError("premature EOF");
    if (end - reader.pos > MAX_DATA_BYTES) {
      reader.pos = end;
      return new InvalidData(TOO_LARGE);
    }
    try {
      return readValue(reader, end, 0);
    } catch (error) {
      if (!(error instanceof StructLimitError)) throw error;
      reader.pos = end;
      return new InvalidData(error.message);
    }
  },

  /** Gives a message's field what `decode` made. */
  unwrap(value: string | InvalidData): string | InvalidData {
    return value;
  },
};

// Wire to JSON text. Each function reads up to `end`, which is within the reader's buffer, and leaves the reader there.

function readValue(reader: BinaryReader, end: number, depth: number): string {
  // A Value without a kind is null. Of several kinds the last counts; lists and structs that follow each other are one, as
  // protobuf merges them.
  let text = "null";
  let open = 0;
  let items = "";
  while (reader.pos < end) {
    const field = reader.uint32();
    let kind = 0;
    switch (field) {
      case NULL_VALUE:
        reader.int64();
        text = "null";
        break;
      case NUMBER_VALUE:
        text = numberText(reader.double());
        break;
      case STRING_VALUE:
        text = readString(reader, end);
        break;
      case BOOL_VALUE:
        text = reader.bool() ? "true" : "false";
        break;
      case STRUCT_VALUE:
      case LIST_VALUE: {
        if (depth === MAX_DATA_DEPTH) throw new StructLimitError(TOO_DEEP);
        kind = field;
        const inner = readItems(reader, readEnd(reader, end), depth + 1, field === STRUCT_VALUE);
        items = open !== kind || items === "" ? inner : inner === "" ? items : `${items},${inner}`;
        text = field === STRUCT_VALUE ? `{${items}}` : `[${items}]`;
        break;
      }
      default:
        kind = open;
        skip(reader, field);
    }
    open = kind;
    checkEnd(reader, end);
  }
  return text;
}

/** Reads a ListValue or a Struct: its elements or members, separated by commas, without brackets. */
function readItems(reader: BinaryReader, end: number, depth: number, members: boolean): string {
  let items = "";
  let separator = "";
  while (reader.pos < end) {
    const field = reader.uint32();
    if (field === (members ? STRUCT_FIELD : LIST_ELEMENT)) {
      const itemEnd = readEnd(reader, end);
      items += separator + (members ? readMember(reader, itemEnd, depth) : readValue(reader, itemEnd, depth));
      separator = ",";
    } else {
      skip(reader, field);
    }
    checkEnd(reader, end);
  }
  return items;
}

function readMember(reader: BinaryReader, end: number, depth: number): string {
  let key = '""';
  let value = "null";
  while (reader.pos < end) {
    const field = reader.uint32();
    if (field === ENTRY_KEY) key = readString(reader, end);
    else if (field === ENTRY_VALUE) value = readValue(reader, readEnd(reader, end), depth);
    else skip(reader, field);
    checkEnd(reader, end);
  }
  return `${key}:${value}`;
}

function readString(reader: BinaryReader, end: number): string {
  const text = reader.string(true);
  checkEnd(reader, end);
  return JSON.stringify(text);
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new StructLimitError(NOT_FINITE);
  return Object.is(value, -0) ? "-0" : String(value);
}

function readEnd(reader: BinaryReader, parentEnd: number): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > parentEnd) throw new RangeError("premature EOF");
  return end;
}

function checkEnd(reader: BinaryReader, end: number): void {
  if (reader.pos > end) throw new RangeError("premature EOF");
}

function skip(reader: BinaryReader, field: number): void {
  if (field >>> 3 === 0) throw new RangeError("illegal tag: field no 0");
  reader.skip(field & 7, field >>> 3);
}

// JSON text to wire.

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const loneSurrogate = /\p{Surrogate}/u;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** Reads one JSON text and writes it as the body of a google.protobuf.Value. */
class JsonToWire {
  readonly #json: string;
  readonly #writer = new BinaryWriter();
  #pos = 0;
  #depth = 0;
  // Never more than what has been written, so that a text that is far too large is refused before all of it is written.
  #written = 0;

  constructor(json: string) {
    this.#json = json;
  }

  run(): Uint8Array {
    this.#value();
    if (this.#next() !== "") this.#fail();
    const bytes = this.#writer.finish();
    if (bytes.length > MAX_DATA_BYTES) throw new StructLimitError(TOO_LARGE);
    return bytes;
  }

  #value(): void {
    switch (this.#next()) {
      case "{":
        this.#items(STRUCT_VALUE, "}");
        break;
      case "[":
        this.#items(LIST_VALUE, "]");
        break;
      case '"':
        this.#write(STRING_VALUE).string(this.#string());
        break;
      case "n":
        this.#word("null");
        this.#write(NULL_VALUE).int32(0);
        break;
      case "t":
        this.#word("true");
        this.#write(BOOL_VALUE).bool(true);
        break;
      case "f":
        this.#word("false");
        this.#write(BOOL_VALUE).bool(false);
        break;
      default:
        this.#write(NUMBER_VALUE).double(this.#number());
    }
  }

  /** Writes a list or an object, of which the opening bracket is next. */
  #items(field: number, close: string): void {
    if (this.#depth === MAX_DATA_DEPTH) throw new StructLimitError(TOO_DEEP);
    this.#depth++;
    this.#pos++;
    this.#write(field).fork();
    if (this.#next() === close) {
      this.#pos++;
    } else {
      for (;;) {
        if (field === STRUCT_VALUE) this.#member();
        else this.#element();
        const after = this.#next();
        if (after !== close && after !== ",") this.#fail();
        this.#pos++;
        if (after === close) break;
      }
    }
    this.#writer.join();
    this.#depth--;
  }

  #element(): void {
    this.#write(LIST_ELEMENT).fork();
    this.#value();
    this.#writer.join();
  }

  #member(): void {
    if (this.#next() !== '"') this.#fail();
    this.#write(STRUCT_FIELD).fork();
    this.#write(ENTRY_KEY).string(this.#string());
    if (this.#next() !== ":") this.#fail();
    this.#pos++;
    this.#write(ENTRY_VALUE).fork();
    this.#value();
    this.#writer.join().join();
  }

  /** Writes a tag; what it announces takes at least one byte more. */
  #write(field: number): BinaryWriter {
    this.#count(2);
    return this.#writer.uint32(field);
  }

  #count(bytes: number): void {
    this.#written += bytes;
    if (this.#written > MAX_DATA_BYTES) throw new StructLimitError(TOO_LARGE);
  }

  /** Reads a string, of which the opening quote is next. */
  #string(): string {
    const start = this.#pos;
    let end = start + 1;
    let escaped = false;
    for (;;) {
      const code = this.#json.charCodeAt(end);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        escaped = true;
        end++;
      } else if (!(code >= SPACE)) {
        // A control character, or NaN at the end of the text.
        this.#pos = end;
        this.#fail();
      }
      end++;
    }
    this.#pos = end + 1;
    // A string is no object: JSON.parse may read its escapes.
    const text: unknown = escaped ? JSON.parse(this.#json.slice(start, end + 1)) : this.#json.slice(start + 1, end);
    if (typeof text !== "string") this.#fail();
    this.#count(text.length);
    if (loneSurrogate.test(text)) throw new StructLimitError(LONE_SURROGATE);
    return text;
  }

  #number(): number {
    number.lastIndex = this.#pos;
    const text = number.exec(this.#json)?.[0];
    if (text === undefined) this.#fail();
    this.#pos += text.length;
    const value = Number(text);
    if (!Number.isFinite(value)) throw new StructLimitError(NOT_FINITE);
    return value;
  }

  #word(word: string): void {
    if (!this.#json.startsWith(word, this.#pos)) this.#fail();
    this.#pos += word.length;
  }

  /** Skips white space and gives the character after it, without taking it; at the end of the text the empty string. */
  #next(): string {
    for (;;) {
      const character = this.#json.charAt(this.#pos);
      if (character !== " " && character !== "\n" && character !== "\r" && character !== "\t") return character;
      this.#pos++;
    }
  }

  #fail(): never {
    throw new SyntaxError(`data is not JSON: unexpected ${this.#json.charAt(this.#pos) || "end"} at ${this.#pos}`);
  }
}
