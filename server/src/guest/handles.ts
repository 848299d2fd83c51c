/**
 * The session's handle table: names for live values, by id and by group.
 *
 * A group holds entries of its own, so releasing one client's group never breaks another's handle to the same value.
 */

import { SafeMap } from "./intrinsics.js";
import { randomId } from "./random.js";

export interface Entry {
  readonly id: string;
  readonly value: unknown;
  readonly group: string;
}

const _PREVIEW_LIMIT = 120;

/** For handle-release.ts, which is no part of the kernel. */
export const byId = new SafeMap<string, Entry>();
export const groups = new SafeMap<string, SafeMap<unknown, Entry>>();

/** The handle of a value within a group: the same value gets the same id there. */
export function retain(value: unknown, group: string): string {
  let members = groups.get(group);
  if (members === undefined) {
    members = new SafeMap<unknown, Entry>();
    groups.set(group, members);
  }
  const known = members.get(value);
  if (known !== undefined) return known.id;
  const entry: Entry = { id: randomId(), value, group };
  members.set(value, entry);
  byId.set(entry.id, entry);
  return entry.id;
}

export function holdsHandle(id: string): boolean {
  return byId.has(id);
}

/** The value behind an id that `holdsHandle`. */
export function valueOfHandle(id: string): unknown {
  return byId.get(id)?.value;
}

export function handleCount(): number {
  return byId.size;
}
