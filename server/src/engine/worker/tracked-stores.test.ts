import { describe, expect, test } from "vitest";
import { PAGE_BYTES } from "./layout.js";
import { clearPages, forWrittenPages, markPages, TRACKED_PAGES } from "./tracked-pages.js";
import { withTrackedStores } from "./tracked-stores.js";
import { leb, section } from "./wasm-binary.js";

const [I32, I64, F32, F64] = [0x7f, 0x7e, 0x7d, 0x7c];
const PAGES = 8;
/** Far from the table. */
const ADDRESS = 300_000;
const PAGE = Math.floor(ADDRESS / PAGE_BYTES);

/** A module with one function `f`, over an imported memory. */
function moduleOf(parameters: readonly number[], body: readonly number[], locals: readonly number[] = [0]): Uint8Array {
  const of = (id: number, ...content: number[]): Uint8Array => section(id, [Uint8Array.from(content)]);
  const code = [...locals, ...body, 0x0b];
  return Buffer.concat([
    Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]),
    of(1, 1, 0x60, parameters.length, ...parameters, 0),
    of(2, 1, 1, 0x61, 1, 0x61, 2, 0, PAGES),
    of(3, 1, 0),
    of(7, 1, 1, 0x66, 0, 0),
    of(10, 1, ...leb(code.length), ...code),
  ]);
}

/** Runs `f`, plain and tracked. Gives what the tracked one wrote and the pages it says so of. */
function run(module: Uint8Array, ...args: unknown[]): { bytes: Buffer; pages: number[] } {
  const [plain, tracked] = [module, withTrackedStores(module)].map((code) => {
    const memory = new WebAssembly.Memory({ initial: PAGES } as never);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(code)), {
      a: { a: memory },
    } as never);
    (exports.f as (...args: unknown[]) => void)(...args);
    return Buffer.from(memory.buffer);
  }) as [Buffer, Buffer];
  const table = tracked.subarray(TRACKED_PAGES, TRACKED_PAGES + PAGES * 16);
  const pages = [...table.entries()].flatMap(([page, mark]) => (mark === 1 ? [page] : []));
  const bytes = Buffer.from(tracked);
  table.fill(0);
  expect(tracked.equals(plain)).toBe(true);
  return { bytes, pages };
}

const store = (op: number, offset: number): number[] => [0x20, 0, 0x20, 1, op, 0, ...leb(offset)];

describe("a module that tracks its stores", () => {
  test.each([
    ["i32.store", 0x36, I32, 0x01020304, 4],
    ["i64.store", 0x37, I64, 0x0102030405060708n, 8],
    ["f32.store", 0x38, F32, 1.5, 4],
    ["f64.store", 0x39, F64, Math.PI, 8],
    ["i32.store8", 0x3a, I32, 7, 1],
    ["i32.store16", 0x3b, I32, 0x0707, 2],
    ["i64.store8", 0x3c, I64, 7n, 1],
    ["i64.store16", 0x3d, I64, 0x0707n, 2],
    ["i64.store32", 0x3e, I64, 0x07070707n, 4],
  ] as const)("writes what it would, and names its page: %s", (_, op, type, value, size) => {
    const { bytes, pages } = run(moduleOf([I32, type], store(op, 0)), ADDRESS, value);
    expect(pages).toEqual([PAGE]);
    expect(bytes.subarray(ADDRESS, ADDRESS + size).every((byte) => byte === 0)).toBe(false);
  });

  test.each([PAGE_BYTES - 1, PAGE_BYTES, 100_000])("counts an offset of %i to the address", (offset) => {
    const module = moduleOf([I32, I32], store(0x36, offset));
    expect(run(module, PAGE * PAGE_BYTES, 1).pages).toEqual([Math.floor((PAGE * PAGE_BYTES + offset) / PAGE_BYTES)]);
  });

  test.each([
    [0, []],
    [1, [PAGE]],
    [PAGE_BYTES, [PAGE]],
    [PAGE_BYTES + 1, [PAGE, PAGE + 1]],
    [3 * PAGE_BYTES, [PAGE, PAGE + 1, PAGE + 2]],
  ])("names all pages of memory.fill and memory.copy of %i bytes", (size, pages) => {
    const start = PAGE * PAGE_BYTES;
    const operands = [0x20, 0, 0x20, 1, 0x20, 2];
    const types = [I32, I32, I32];
    expect(run(moduleOf(types, [...operands, 0xfc, 11, 0]), start, 9, size).pages).toEqual(pages);
    expect(run(moduleOf(types, [...operands, 0xfc, 10, 0, 0]), start, 0, size).pages).toEqual(pages);
  });

  test("keeps a function's own locals, of whatever types, and its stores of all of them", () => {
    const body = [
      ...[0x42, ...[0x2a], 0x21, 3, 0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x21, 4],
      ...[0x20, 0, 0x20, 3, 0x37, 0, 0, 0x20, 0, 0x20, 4, 0x39, 0, 8, 0x20, 0, 0x20, 1, 0x36, 0, 16],
      ...[0x20, 0, 0x20, 2, 0x36, 0, ...leb(PAGE_BYTES * 2)],
    ];
    const { bytes, pages } = run(moduleOf([I32, I32, I32], body, [2, 1, I64, 1, F64]), PAGE * PAGE_BYTES, 5, 6);
    const at = PAGE * PAGE_BYTES;
    expect([bytes.readBigInt64LE(at), bytes.readDoubleLE(at + 8), bytes.readInt32LE(at + 16)]).toEqual([42n, 1.5, 5]);
    expect(bytes.readInt32LE(at + PAGE_BYTES * 2)).toBe(6);
    expect(pages).toEqual([PAGE, PAGE + 2]);
  });

  test("is refused where it has an instruction that is not known", () => {
    expect(() => withTrackedStores(moduleOf([], [0xfd, 0]))).toThrow("instruction 253, which is not known");
    expect(() => withTrackedStores(moduleOf([], [0xfc, 99]))).toThrow("instruction 99, which is not known");
  });
});

describe("the table of pages", () => {
  const taken = (memory: Uint8Array, start: number, end: number): number[][] => {
    const runs: number[][] = [];
    forWrittenPages(memory, start * PAGE_BYTES, end * PAGE_BYTES, (from, to) => runs.push([from, to]));
    return runs;
  };

  test("gives neighbours as one run, with what a store may reach of the next page", () => {
    const memory = new Uint8Array(PAGES * 65536);
    for (const page of [40, 41, 43, 49, 50]) markPages(memory, page * PAGE_BYTES, 1);
    const run = (from: number, to: number, reach = 7): number[] => [from * PAGE_BYTES, to * PAGE_BYTES + reach];
    expect(taken(memory, 41, 50)).toEqual([run(41, 42), run(43, 44), run(49, 50, 0)]);
    expect(taken(memory, 0, 128)).toEqual([run(40, 42), run(43, 44), run(49, 51)]);
  });

  test("has all pages of what others write, and none of what is empty", () => {
    const memory = new Uint8Array(PAGES * 65536);
    markPages(memory, 40 * PAGE_BYTES + 4_000, 97);
    markPages(memory, 60 * PAGE_BYTES, 0);
    expect(taken(memory, 0, 128)).toEqual([[40 * PAGE_BYTES, 42 * PAGE_BYTES + 7]]);
  });

  test("is cleared to the end of what is asked for", () => {
    const memory = new Uint8Array(PAGES * 65536);
    for (const page of [40, 50, 51]) markPages(memory, page * PAGE_BYTES, 1);
    clearPages(memory, 40 * PAGE_BYTES, 51 * PAGE_BYTES);
    expect(taken(memory, 0, 128)).toEqual([[51 * PAGE_BYTES, 52 * PAGE_BYTES + 7]]);
  });
});
