/**
 * The session's handle table: names for live values, by id and by group.
 *
 * A group holds entries of its own, so releasing one client's group never breaks another's handle to the same value.
 */

import { SafeMap } from "./intrinsics.js";

export interface Entry {
  readonly id: string;
  readonly value: unknown;
  readonly group: string;
}

/** For handle-lookup.ts, and for handle-entries.ts, which is no part of the kernel. */
export const byId = new SafeMap<string, Entry>();
export const groups = new SafeMap<string, SafeMap<unknown, Entry>>();
