/**
 * Numbers the jobs of the engine's queue, in a cell that the kernel reads: what a job runs in is not what the job before it left
 * behind (guest/contexts.ts).
 *
 * The engine calls each job through a pointer to a function of its table. boot.ts finds the few there are; every instance gets
 * in their places functions of a small module over the same memory, which count, say that nobody runs, and go on to the
 * engine's. So jobs run in one go, and no crossing between JavaScript and wasm is added to any of them.
 */
import { Cell, type Layout } from "./layout.js";
import { leb, Type } from "./wasm-binary.js";
import { INITIAL_PAGES, MAXIMUM_PAGES } from "./wasm-module.js";

const KIND_FUNCTION = 0;
const KIND_MEMORY = 2;
const KIND_GLOBAL = 3;
const SHARED_WITH_MAXIMUM = 3;
const ALIGNED = 2;

function named(text: string): number[] {
  return [text.length, ...Buffer.from(text)];
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = [...leb(items.length), ...items.flat()];
  return [id, ...leb(content.length), ...content];
}

/** What stands in the place of the engine's function `index`: it calls it, after it has counted. */
function countingFunction(index: number): number[] {
  const cells = [0x23, 0];
  const load = (cell: number): number[] => [0x28, ALIGNED, ...leb(cell * 4)];
  const store = (cell: number): number[] => [0x36, ALIGNED, ...leb(cell * 4)];
  const code = [
    0, // no locals
    ...[...cells, ...cells, ...load(Cell.JOB), 0x41, 1, 0x6a, ...store(Cell.JOB)],
    // Who ran is remembered: if (current) last = current.
    ...[...cells, ...load(Cell.CURRENT_EXECUTION), 0x04, 0x40],
    ...[...cells, ...cells, ...load(Cell.CURRENT_EXECUTION), ...store(Cell.LAST_EXECUTION), 0x0b],
    ...[...cells, 0x41, 0, ...store(Cell.CURRENT_EXECUTION)],
    ...[...cells, 0x41, 0, ...store(Cell.CONTEXT_OWNER)],
    ...[0x20, 0, 0x20, 1, 0x20, 2, 0x10, ...leb(index)],
    0x0b,
  ];
  return [...leb(code.length), ...code];
}

/** Imports the memory, where the cells are in it, and `count` functions; exports as many, by their numbers. */
function countingModule(count: number): WebAssembly.Module {
  const each = <T>(item: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => item(i));
  const limits = [SHARED_WITH_MAXIMUM, ...leb(INITIAL_PAGES), ...leb(MAXIMUM_PAGES)];
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      // A job: (i32 context, i32 argc, i32 argv) -> i64 result
      ...section(1, [[0x60, 3, Type.I32, Type.I32, Type.I32, 1, Type.I64]]),
      ...section(2, [
        [...named("a"), ...named("m"), KIND_MEMORY, ...limits],
        [...named("a"), ...named("c"), KIND_GLOBAL, Type.I32, 0],
        ...each((i) => [...named("a"), ...named(`${i}`), KIND_FUNCTION, 0]),
      ]),
      ...section(
        3,
        each(() => [0]),
      ),
      ...section(
        7,
        each((i) => [...named(`${i}`), KIND_FUNCTION, ...leb(count + i)]),
      ),
      ...section(10, each(countingFunction)),
    ]),
  );
}

let compiled: { readonly module: WebAssembly.Module; readonly count: number } | undefined;

/** Puts the counting functions of an instance in their places. */
export function countJobs(
  table: WebAssembly.Table,
  memory: WebAssembly.Memory,
  { cells, jobFunctions }: Pick<Layout, "cells" | "jobFunctions">,
): void {
  const count = jobFunctions.length;
  if (compiled?.count !== count) compiled = { module: countingModule(count), count };
  const functions = Object.fromEntries(jobFunctions.map((index, i) => [`${i}`, table.get(index)]));
  const { exports } = new WebAssembly.Instance(compiled.module, { a: { m: memory, c: cells, ...functions } });
  for (const [i, index] of jobFunctions.entries()) table.set(index, exports[`${i}`] as WebAssembly.ExportValue);
}
