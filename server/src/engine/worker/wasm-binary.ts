/** Reading and writing of WebAssembly's binary format, as far as the engine's module needs it. */

/** Sections of a module, types of values, and instructions, by their numbers. */
export const Section = {
  TYPE: 1,
  IMPORT: 2,
  FUNCTION: 3,
  TABLE: 4,
  EXPORT: 7,
  START: 8,
  CODE: 10,
  DATA: 11,
  DATA_COUNT: 12,
} as const;
export const Type = { I32: 0x7f, I64: 0x7e, F32: 0x7d, F64: 0x7c } as const;
export const Op = {
  UNREACHABLE: 0x00,
  IF: 0x04,
  END: 0x0b,
  RETURN: 0x0f,
  CALL: 0x10,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  LOCAL_TEE: 0x22,
  I32_LOAD: 0x28,
  I32_STORE: 0x36,
  I32_STORE8: 0x3a,
  I32_CONST: 0x41,
  I32_EQZ: 0x45,
  I32_LT_U: 0x49,
  I32_GT_U: 0x4b,
  I32_ADD: 0x6a,
  I32_SUB: 0x6b,
  I32_AND: 0x71,
  I32_SHR_U: 0x76,
  PREFIX_FC: 0xfc,
} as const;
/** The type of a block that leaves nothing. */
export const NO_RESULT = 0x40;

export class WasmReader {
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
  ) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    const value = this.bytes[this.at++];
    if (value === undefined) throw new Error("engine: the wasm module ends early");
    return value;
  }

  skip(count: number): void {
    this.at += count;
  }

  leb(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value >>> 0;
    }
  }

  peekLeb(): number {
    const { at } = this;
    const value = this.leb();
    this.at = at;
    return value;
  }

  /** A name. */
  text(): string {
    const length = this.leb();
    this.at += length;
    return Buffer.from(this.bytes.subarray(this.at - length, this.at)).toString();
  }

  vector<Item>(item: (i: number) => Item): Item[] {
    return Array.from({ length: this.leb() }, (_, i) => item(i));
  }

  /** Goes past what follows the opcode of an instruction. @throws Error for one that it does not know */
  skipImmediates(op: number): void {
    if (op === 0xfc) return this.#skipOperands(this.leb(), prefixedOperandsOf);
    this.#skipOperands(op, operandsOf);
  }

  #skipOperands(op: number, known: (op: number) => string | undefined): void {
    const operands = known(op);
    if (operands === undefined) throw new Error(`engine: the wasm module has instruction ${op}, which is not known`);
    for (const operand of operands) {
      if (operand === "n") this.#skipLeb();
      else if (operand === "4" || operand === "8") this.skip(Number(operand));
      else this.vector(() => this.#skipLeb());
    }
  }

  /** Of any length. */
  #skipLeb(): void {
    while ((this.byte() & 0x80) !== 0);
  }
}

/** What follows an opcode: `n` numbers in LEB128, `v` a vector of them, `4` and `8` so many bytes. */
function operandsOf(op: number): string | undefined {
  if (op <= 0x01 || op === 0x05 || op === 0x0b || op === 0x0f || op === 0x1a || op === 0x1b) return "";
  if (op >= 0x02 && op <= 0x04) return "n";
  if (op === 0x0c || op === 0x0d || op === 0x10) return "n";
  if (op === 0x0e) return "vn";
  if (op === 0x11) return "nn";
  if (op >= 0x20 && op <= 0x26) return "n";
  if (op >= 0x28 && op <= 0x3e) return "nn";
  if (op >= 0x3f && op <= 0x42) return "n";
  if (op === 0x43) return "4";
  if (op === 0x44) return "8";
  if (op >= 0x45 && op <= 0xc4) return "";
  return undefined;
}

/** The same behind the prefix 0xfc. */
function prefixedOperandsOf(op: number): string | undefined {
  if (op <= 7) return "";
  return { 8: "nn", 9: "n", 10: "nn", 11: "n" }[op];
}

export function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)];
}

export function section(id: number, content: readonly Uint8Array[]): Uint8Array {
  const size = content.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([Uint8Array.from([id, ...leb(size)]), ...content]);
}

/**
 * A copy of a module in which sections are others.
 *
 * @param replaced is given the number of each, and a reader that stands at its content; it gives the section that takes its place, which
 *   may be empty, or undefined for it to stay
 */
export function withSections(
  module: Uint8Array,
  replaced: (id: number, reader: WasmReader) => Uint8Array | undefined,
): Uint8Array<ArrayBuffer> {
  const reader = new WasmReader(module, 8);
  const parts = [module.subarray(0, 8)];
  while (!reader.done) {
    const start = reader.at;
    const id = reader.byte();
    const end = reader.leb() + reader.at;
    parts.push(replaced(id, reader) ?? module.subarray(start, end));
    reader.at = end;
  }
  return new Uint8Array(Buffer.concat(parts));
}
