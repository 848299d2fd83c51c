/**
 * Has a wasm module say which pages it writes to: in front of every store stands another, of a byte for the page, into a table
 * in the same memory. So a checkpoint of a large session can copy what changed, in place of all (checkpoint.ts).
 *
 * The modules of the engine keep what they do, where things lie, and the indices of their functions; code grows, and guest code runs
 * somewhat slower.
 */
import { PAGE_SHIFT, TRACKED_PAGES } from "./tracked-pages.js";
import { leb, NO_RESULT, Op, Section, section, Type, type WasmReader, withSections } from "./wasm-binary.js";

const FUNCTION_TYPE = 0x60;

/** The type of what each kind of store writes, by its opcode. */
const STORES: ReadonlyMap<number, number> = new Map([
  [0x36, Type.I32],
  [0x37, Type.I64],
  [0x38, Type.F32],
  [0x39, Type.F64],
  [0x3a, Type.I32],
  [0x3b, Type.I32],
  [0x3c, Type.I64],
  [0x3d, Type.I64],
  [0x3e, Type.I64],
]);

/** Behind the prefix. */
const Bulk = { MEMORY_COPY: 10, MEMORY_FILL: 11 } as const;

/** @throws Error for code that it does not know how to read */
export function withTrackedStores(module: Uint8Array): Uint8Array<ArrayBuffer> {
  let parameters: number[] = [];
  let functions: number[] = [];
  return withSections(module, (id, reader) => {
    if (id === Section.TYPE) parameters = readParameters(reader);
    if (id === Section.FUNCTION) functions = reader.vector(() => reader.leb());
    if (id !== Section.CODE) return undefined;
    const bodies = reader.vector((i) => tracked(reader, parameters[functions[i] ?? -1] ?? 0));
    return section(id, [Uint8Array.from(leb(bodies.length)), ...bodies]);
  });
}

/** How many parameters each type of function has. */
function readParameters(reader: WasmReader): number[] {
  return reader.vector(() => {
    if (reader.byte() !== FUNCTION_TYPE) throw new Error("engine: a type of the wasm module is not one of functions");
    const { length } = reader.vector(() => reader.byte());
    reader.vector(() => reader.byte());
    return length;
  });
}

/** The body of a function, from its size on. */
function tracked(reader: WasmReader, parameters: number): Uint8Array {
  const end = reader.leb() + reader.at;
  let count = parameters;
  const groups = reader.vector(() => {
    const [many, type] = [reader.leb(), reader.byte()];
    count += many;
    return [...leb(many), type];
  });
  const code = new TrackedCode(reader, count);
  code.copyUntil(end);
  const declared = [...groups, ...code.locals];
  const body = [Uint8Array.from([...leb(declared.length), ...declared.flat()]), ...code.parts];
  const size = body.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([Uint8Array.from(leb(size)), ...body]);
}

class TrackedCode {
  readonly #reader: WasmReader;
  readonly parts: Uint8Array[] = [];
  /** Groups of locals that it needs beside the function's own. */
  readonly locals: number[][] = [];
  readonly #byType = new Map<string, number>();
  readonly #ownLocals: number;

  constructor(reader: WasmReader, ownLocals: number) {
    this.#reader = reader;
    this.#ownLocals = ownLocals;
  }

  copyUntil(end: number): void {
    const reader = this.#reader;
    let from = reader.at;
    while (reader.at < end) {
      const at = reader.at;
      const op = reader.byte();
      const type = STORES.get(op);
      const isBulk =
        op === Op.PREFIX_FC && (reader.peekLeb() === Bulk.MEMORY_COPY || reader.peekLeb() === Bulk.MEMORY_FILL);
      if (type === undefined && !isBulk) {
        reader.skipImmediates(op);
        continue;
      }
      this.parts.push(reader.bytes.subarray(from, at));
      if (type !== undefined) {
        reader.leb();
        this.#store(type, reader.leb());
      } else {
        this.#bulk();
        reader.skipImmediates(op);
      }
      from = at;
    }
    this.parts.push(reader.bytes.subarray(from, end));
  }

  /** On the stack: address, value. */
  #store(type: number, offset: number): void {
    const [value, address] = [this.#local("value", type), this.#local("address", Type.I32)];
    this.#emit(
      ...[Op.LOCAL_SET, ...value, Op.LOCAL_TEE, ...address],
      ...(offset === 0 ? [] : [Op.I32_CONST, ...signedLeb(offset), Op.I32_ADD]),
      ...[Op.I32_CONST, PAGE_SHIFT, Op.I32_SHR_U, Op.I32_CONST, 1, Op.I32_STORE8, 0, ...leb(TRACKED_PAGES)],
      ...[Op.LOCAL_GET, ...address, Op.LOCAL_GET, ...value],
    );
  }

  /** On the stack: address, source or value, how many bytes; which may be none. */
  #bulk(): void {
    const address = this.#local("address", Type.I32);
    const what = this.#local("what", Type.I32);
    const size = this.#local("size", Type.I32);
    const page = (...extra: number[]): number[] => [
      ...[Op.LOCAL_GET, ...address, ...extra, Op.I32_CONST, PAGE_SHIFT, Op.I32_SHR_U],
    ];
    const last = page(Op.LOCAL_GET, ...size, Op.I32_ADD, Op.I32_CONST, 1, Op.I32_SUB);
    this.#emit(
      ...[Op.LOCAL_SET, ...size, Op.LOCAL_SET, ...what, Op.LOCAL_SET, ...address],
      ...[Op.LOCAL_GET, ...size, Op.IF, NO_RESULT],
      ...[...page(), Op.I32_CONST, ...signedLeb(TRACKED_PAGES), Op.I32_ADD, Op.I32_CONST, 1],
      ...[...last, ...page(), Op.I32_SUB, Op.I32_CONST, 1, Op.I32_ADD],
      ...[Op.PREFIX_FC, Bulk.MEMORY_FILL, 0, Op.END],
      ...[Op.LOCAL_GET, ...address, Op.LOCAL_GET, ...what, Op.LOCAL_GET, ...size],
    );
  }

  #emit(...code: number[]): void {
    this.parts.push(Uint8Array.from(code));
  }

  /** The index of a local of this use and type. */
  #local(use: string, type: number): number[] {
    const key = `${use} ${type}`;
    const index = this.#byType.get(key) ?? this.#ownLocals + this.locals.length;
    if (!this.#byType.has(key)) {
      this.#byType.set(key, index);
      this.locals.push([1, type]);
    }
    return leb(index);
  }
}

function signedLeb(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signedLeb(value >>> 7)];
}
