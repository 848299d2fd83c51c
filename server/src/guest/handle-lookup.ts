/** Finds values by the ids of their handles. */
import { byId } from "./handles.js";

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
