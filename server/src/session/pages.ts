/** How much of a list is told at once. */

/** Bytes of the items of one page, well below what a message carries. */
const PAGE_BYTES = 3 << 20;
/** Most that an item takes without its labels, and most that each of them takes beside its texts. */
const ITEM_BYTES = 1 << 10;
const LABEL_BYTES = 8;

/** The first of these items that one page has room for, at least one of them. */
export function fitting<T extends { readonly labels: ReadonlyMap<string, string> }>(items: readonly T[]): readonly T[] {
  let bytes = 0;
  const end = items.findIndex(({ labels }, i) => {
    bytes += ITEM_BYTES + labelBytes(labels);
    return i > 0 && bytes > PAGE_BYTES;
  });
  return end === -1 ? items : items.slice(0, end);
}

/** What labels take in a message. */
export function labelBytes(labels: ReadonlyMap<string, string>): number {
  let bytes = 0;
  for (const texts of labels) for (const text of texts) bytes += Buffer.byteLength(text) + LABEL_BYTES;
  return bytes;
}
