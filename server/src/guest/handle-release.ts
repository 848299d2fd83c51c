/** Takes entries out of the handle table; for the library that does. */
import { byId, groups } from "./handles.js";

/** Returns how many entries went: one or none. */
export function release(id: string): number {
  const entry = byId.get(id);
  if (entry === undefined) return 0;
  byId.delete(id);
  const members = groups.get(entry.group);
  if (members !== undefined) {
    members.delete(entry.value);
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
