/** A durable session as a store has it, all its deltas read. */
import type { Store, StoredDurable } from "../../server/src/store/store.js";

export interface WholeDurable extends Omit<StoredDurable, "deltas"> {
  readonly deltas: readonly Uint8Array[];
}

export async function wholeDurable(store: Store, sessionId: string): Promise<WholeDurable | undefined> {
  const found = await store.durable(sessionId);
  if (found === undefined) return undefined;
  const deltas: Uint8Array[] = [];
  for await (const delta of found.deltas) deltas.push(Uint8Array.from(delta));
  return { ...found, deltas };
}
