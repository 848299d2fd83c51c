/** The marks that sources run under; library/positions.ts has the maps. */
import { library } from "./libraries.js";

/**
 * What a mark begins with: a character that nobody sees, and that no file name has a reason to hold. Mirrored in
 * engine/worker/specifiers.ts.
 */
export const MARK = "\u2063#";

interface Positions {
  markFor(map: string): string;
  unmarked(text: string): string;
}

export function positions(): Positions {
  return library("positions") as unknown as Positions;
}

/** The mark for sources with this map. @param map JSON text; see compile/positions.ts */
export function markFor(map: string): string {
  return positions().markFor(map);
}
