/** Pages of lists. */
import { invalid } from "../session/errors.js";

const PAGE = { unset: 50, most: 1_000 };

/** @throws SessionError INVALID_REQUEST */
export function checkedPageSize(pageSize: number): number {
  if (pageSize < 0) throw invalid("page_size", "must not be negative");
  return Math.min(pageSize || PAGE.unset, PAGE.most);
}
