/**
 * Copies a session's used pages aside before a turn and puts them back when the turn is undone.
 *
 * The copy lies in a growable SharedArrayBuffer that the worker and the main thread both hold: the worker undoes its own
 * stopped turns, the main thread those of a worker that it killed.
 */
import { clear } from "./clear.js";
import { ARGV_BYTES, CELL_COUNT, HEAP_RANGE_START, heapRangeEnd, type Layout, STATIC_END } from "./layout.js";
import { forWrittenPages } from "./tracked-pages.js";

/** What is needed to put a checkpoint back. */
export interface CheckpointExtent {
  /** End of the heap range that was copied (byte offset in the session's memory). */
  readonly heapEnd: number;
  /** Size of the session's memory when it was copied, in bytes. */
  readonly memoryBytes: number;
}

const FIRST_SIZE = 1 << 20;

/** @param maximumBytes the largest session memory that will ever be copied */
export function createCheckpointBuffer(maximumBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(FIRST_SIZE, { maxByteLength: Math.max(FIRST_SIZE, maximumBytes) });
}

/**
 * Copies static data and heap into `target`, growing it when needed.
 *
 * @param earlier a checkpoint of the session that `target` holds, since which its instance has tracked its stores: then of the
 *   heap only what was written to is copied
 */
export function takeCheckpoint(
  memory: WebAssembly.Memory,
  layout: Layout,
  target: SharedArrayBuffer,
  earlier?: CheckpointExtent,
): CheckpointExtent {
  const source = new Uint8Array(memory.buffer);
  const heapEnd = heapRangeEnd(new Int32Array(memory.buffer), layout);
  const size = STATIC_END + heapEnd - HEAP_RANGE_START;
  if (target.byteLength < size) target.grow(Math.min(target.maxByteLength, size + (size >> 1)));
  const copy = new Uint8Array(target);
  copy.set(source.subarray(0, STATIC_END), 0);
  const copyRun = (from: number, to: number): void => {
    copy.set(source.subarray(from, to), STATIC_END + from - HEAP_RANGE_START);
  };
  if (earlier !== undefined) {
    for (const [address, length] of writtenByHost(layout)) copyRun(address, address + length);
    forWrittenPages(source, HEAP_RANGE_START, Math.min(heapEnd, earlier.heapEnd), copyRun);
  }
  const known = earlier?.heapEnd ?? HEAP_RANGE_START;
  if (heapEnd > known) copyRun(known, heapEnd);
  return { heapEnd, memoryBytes: source.byteLength };
}

/** What is written to by others than the engine in every turn, and not told by `Instance.touch`. */
function writtenByHost({ cells, argv, gcThresholdWord, heapLimitWord }: Layout): [address: number, length: number][] {
  return [
    [cells, CELL_COUNT * 4],
    [argv, ARGV_BYTES],
    [gcThresholdWord, 4],
    [heapLimitWord, 4],
  ];
}

/** Puts a checkpoint back. Returns the memory that now holds the session, as `memoryFor` has it. */
export function restoreCheckpoint(
  memory: WebAssembly.Memory,
  checkpoint: SharedArrayBuffer,
  extent: CheckpointExtent,
  layout: Layout,
  maximumPages: number,
): WebAssembly.Memory {
  const target = memoryFor(memory, extent, maximumPages);
  if (target === memory) clear(memory.buffer, extent.heapEnd, heapRangeEnd(new Int32Array(memory.buffer), layout));
  const bytes = new Uint8Array(target.buffer);
  const copy = new Uint8Array(checkpoint);
  const heapBytes = extent.heapEnd - HEAP_RANGE_START;
  bytes.set(copy.subarray(0, STATIC_END), 0);
  bytes.set(copy.subarray(STATIC_END, STATIC_END + heapBytes), HEAP_RANGE_START);
  return target;
}

/**
 * Where a checkpoint is to be put back to. A memory that grew since cannot shrink, and its new pages stay resident: the session then
 * moves into a new memory of the old size; so it does from one that is too small, for the checkpoint may come from elsewhere. Nothing of
 * an undone turn may be met again: in the same memory what it wrote beyond the old top of the heap has to be cleared.
 */
export function memoryFor(
  memory: WebAssembly.Memory,
  extent: CheckpointExtent,
  maximumPages: number,
): WebAssembly.Memory {
  if (memory.buffer.byteLength === extent.memoryBytes) return memory;
  const initial = Math.min(extent.memoryBytes / 65536, maximumPages);
  return new WebAssembly.Memory({ initial, maximum: maximumPages, shared: true });
}
