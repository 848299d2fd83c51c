/** Puts entries into the handle table and takes them out; for the libraries that do. */
import { byId, type Entry, groups } from "./handles.js";
import { SafeMap } from "./intrinsics.js";
import { randomId } from "./random-id.js";

/** Maps take -0 for 0: for it stands what no guest has, and what is the same in all libraries that have a copy of this file. */
function keyOf(value: unknown): unknown {
  return value === 0 && 1 / (value as number) < 0 ? byId : value;
}

/** The handle of a value within a group: the same value gets the same id there. */
export function retain(value: unknown, group: string): string {
  let members = groups.get(group);
  if (members === undefined) {
    members = new SafeMap<unknown, Entry>();
    groups.set(group, members);
  }
  const key = keyOf(value);
  const known = members.get(key);
  if (known !== undefined) return known.id;
  const entry: Entry = { id: randomId(), value, group };
  members.set(key, entry);
  byId.set(entry.id, entry);
  return entry.id;
}

/** Returns how many entries went: one or none. */
export function release(id: string): number {
  const entry = byId.get(id);
  if (entry === undefined) return 0;
  byId.delete(id);
  const members = groups.get(entry.group);
  if (members !== undefined) {
    members.delete(keyOf(entry.value));
    if (members.size === 0) groups.delete(entry.group);
  }
  return 1;
}

export function releaseGroup(group: string): number {
  const members = groups.get(group);
  if (members === undefined) return 0;
  members.forEach((entry) => {
    byId.delete(entry.id);
  });
  groups.delete(group);
  return members.size;
}

export function releaseAll(): number {
  const count = byId.size;
  byId.clear();
  groups.clear();
  return count;
}
