/**
 * Tells the engine how large its heap is, so that its collector runs when it should.
 *
 * The collector runs when the sum of all blocks passes a threshold, which it then sets to half more than what was left. But this build
 * does not know the sizes of its blocks and adds eight bytes for each: garbage of few and large blocks would never be collected, and
 * turns run out of memory for it. So the three functions by which the engine allocates are replaced by ones that do the same and add what
 * the allocator has given, as it says itself in the word in front of every block.
 *
 * Half more than what is left may be more than there is room for. So they also keep the threshold half way between the sum and what the
 * heap may grow to, where they are told that; but not so close that a program which needs all of it is collected ever again.
 *
 * The indices and offsets are those of the build whose SHA-256 wasm-module.ts checks; boot.ts tries whether sums are right.
 */
import { leb, NO_RESULT, Op, Section, section, Type, type WasmReader, withSections } from "./wasm-binary.js";

/** Functions of the build, by their indices; the first are imported and have no code. */
const IMPORTED = 19;
const Func = {
  /** The allocator's own. */
  MALLOC: 150,
  FREE: 142,
  REALLOC: 775,
  /** `js_def_malloc(state, size)`, `js_def_free(state, block)` and `js_def_realloc(state, block, size)`. */
  JS_MALLOC: 499,
  JS_FREE: 1060,
  JS_REALLOC: 1059,
} as const;

/** Words of a `JSMallocState`, as offsets in bytes. It lies in the runtime, behind pointers to four functions. */
export const COUNT = 0;
export const HEAP_SUM = 4;
const ENGINE_LIMIT = 8;
/** An opaque pointer, for which these functions have no other use; 0 for none. */
export const HEAP_LIMIT = 12;
export const GC_THRESHOLD = 92;
/** Of the state in the runtime. */
export const STATE_IN_RUNTIME = 16;

const ALIGNED = 2;
/** -8 as a signed number: without the bits of a size that say something else. */
const SIZE_MASK = 0x78;

const get = (local: number): number[] => [Op.LOCAL_GET, local];
const set = (local: number): number[] => [Op.LOCAL_SET, local];
const call = (index: number): number[] => [Op.CALL, ...leb(index)];
const when = (condition: number[], then: number[]): number[] => [...condition, Op.IF, NO_RESULT, ...then, Op.END];
const unless = (condition: number[], then: number[]): number[] => when([...condition, Op.I32_EQZ], then);
const giveNone = [Op.I32_CONST, 0, Op.RETURN];

/** The state is the first parameter of all three. */
const STATE = get(0);
const word = (offset: number): number[] => [...STATE, Op.I32_LOAD, ALIGNED, ...leb(offset)];
const setWord = (offset: number, value: number[]): number[] => [
  ...STATE,
  ...value,
  Op.I32_STORE,
  ALIGNED,
  ...leb(offset),
];

/** What the block takes whose address is in a local, its header included. */
const sizeOf = (block: number): number[] => [
  ...[...get(block), Op.I32_CONST, 4, Op.I32_SUB, Op.I32_LOAD, ALIGNED, 0, Op.I32_CONST, SIZE_MASK, Op.I32_AND],
];
const more = setWord(COUNT, [...word(COUNT), Op.I32_CONST, 1, Op.I32_ADD]);
const fewer = setWord(COUNT, [...word(COUNT), Op.I32_CONST, 1, Op.I32_SUB]);
/** Gives nothing where the engine was told a limit of its own, and would pass it. */
const obeyLimit = (size: number): number[] =>
  when([...word(ENGINE_LIMIT), ...word(HEAP_SUM), ...get(size), Op.I32_ADD, Op.I32_LT_U], giveNone);

/** A sixteenth: a collection that finds nothing is not to come again before so much was added, which may be more than there is room for. */
const LEAST_GAP = 4;
/** Adds bytes to the sum and then looks at the threshold; with a local of its own. */
const add = (bytes: number[], most: number): number[] => [
  ...setWord(HEAP_SUM, [...word(HEAP_SUM), ...bytes, Op.I32_ADD]),
  ...when(word(HEAP_LIMIT), [
    // sum + max((limit - sum) / 2, sum / 16); the sum of its blocks is below the limit.
    ...[...word(HEAP_LIMIT), ...word(HEAP_SUM), Op.I32_SUB, Op.I32_CONST, 1, Op.I32_SHR_U, ...set(most)],
    ...when(
      [...word(HEAP_SUM), Op.I32_CONST, LEAST_GAP, Op.I32_SHR_U, ...get(most), Op.I32_GT_U],
      [...word(HEAP_SUM), Op.I32_CONST, LEAST_GAP, Op.I32_SHR_U, ...set(most)],
    ),
    ...[...get(most), ...word(HEAP_SUM), Op.I32_ADD, ...set(most)],
    ...when([...word(GC_THRESHOLD), ...get(most), Op.I32_GT_U], setWord(GC_THRESHOLD, get(most))),
  ]),
];

function allocate(): number[] {
  const [size, block, most] = [1, 2, 3];
  return [
    ...[1, 2, Type.I32],
    ...unless(get(size), [Op.UNREACHABLE]),
    ...obeyLimit(size),
    ...unless([...get(size), ...call(Func.MALLOC), Op.LOCAL_TEE, block], giveNone),
    ...more,
    ...add(sizeOf(block), most),
    ...[...get(block), Op.END],
  ];
}

function free(): number[] {
  const block = 1;
  const subtract = setWord(HEAP_SUM, [...word(HEAP_SUM), ...sizeOf(block), Op.I32_SUB]);
  return [0, ...when(get(block), [...fewer, ...subtract, ...get(block), ...call(Func.FREE)]), Op.END];
}

function reallocate(): number[] {
  const [block, size, old, most] = [1, 2, 3, 4];
  return [
    ...[1, 2, Type.I32],
    ...unless(get(block), [
      ...unless(get(size), giveNone),
      ...[...STATE, ...get(size), ...call(Func.JS_MALLOC), Op.RETURN],
    ]),
    ...unless(get(size), [...STATE, ...get(block), ...call(Func.JS_FREE), ...giveNone]),
    ...obeyLimit(size),
    ...[...sizeOf(block), ...set(old)],
    ...unless([...get(block), ...get(size), ...call(Func.REALLOC), Op.LOCAL_TEE, block], giveNone),
    ...add([...sizeOf(block), ...get(old), Op.I32_SUB], most),
    ...[...get(block), Op.END],
  ];
}

/** @returns the engine's module with these functions in place of its own */
export function withHeapBytes(module: Uint8Array): Uint8Array {
  const bodies = new Map([
    [Func.JS_MALLOC, allocate()],
    [Func.JS_FREE, free()],
    [Func.JS_REALLOC, reallocate()],
  ] as [number, number[]][]);
  return withSections(module, (id, reader) => (id === Section.CODE ? codeWith(bodies, reader) : undefined));
}

/** The code section, from its content on. */
function codeWith(bodies: ReadonlyMap<number, number[]>, reader: WasmReader): Uint8Array {
  const code = reader.vector((i) => {
    const start = reader.at;
    reader.skip(reader.leb());
    const body = bodies.get(IMPORTED + i);
    return body === undefined
      ? reader.bytes.subarray(start, reader.at)
      : Uint8Array.from([...leb(body.length), ...body]);
  });
  return section(Section.CODE, [Uint8Array.from(leb(code.length)), ...code]);
}
