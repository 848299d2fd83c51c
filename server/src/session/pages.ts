/** How much of a list is told at once, and how much labels take. */
/** Bytes of the items of one page, well below what a message carries. */
const PAGE_BYTES = 3 << 20;
/** Most that an item takes without its labels, and most that each of them takes beside its texts. */
const ITEM_BYTES = 1 << 10;
const LABEL_BYTES = 8;

/** What the store is asked for at once: it reads all that it gives before others have their turn, and labels may be large. */
export const READ_AT_ONCE = 64;

interface Labelled {
  readonly labels: ReadonlyMap<string, string>;
}

/** Whether these are more than one page has room for. */
export function isFull(items: readonly Labelled[]): boolean {
  return items.reduce((sum, item) => sum + itemBytes(item), 0) > PAGE_BYTES;
}

/** The first of these items that one page has room for, at least one of them. */
export function fitting<T extends Labelled>(items: readonly T[]): readonly T[] {
  let bytes = 0;
  const end = items.findIndex((item, i) => {
    bytes += itemBytes(item);
    return i > 0 && bytes > PAGE_BYTES;
  });
  return end === -1 ? items : items.slice(0, end);
}

function itemBytes({ labels }: Labelled): number {
  return ITEM_BYTES + labelBytes(labels);
}

/** What labels take in a message. */
export function labelBytes(labels: ReadonlyMap<string, string>): number {
  let bytes = 0;
  for (const texts of labels) for (const text of texts) bytes += Buffer.byteLength(text) + LABEL_BYTES;
  return bytes;
}
