/** How an execution ended, whatever way: none of them is a failure of the service. */
import { GuestError, StoppedError } from "@livescope/sdk";

export type Ending =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "error"; readonly error: GuestError }
  | { readonly kind: "limit"; readonly error: StoppedError };

/** Waits for it; rejects where the service failed. */
export async function endingOf(execution: Promise<unknown>): Promise<Ending> {
  try {
    return { kind: "value", value: await execution };
  } catch (error) {
    if (error instanceof GuestError) return { kind: "error", error };
    if (error instanceof StoppedError) return { kind: "limit", error };
    throw error;
  }
}

/** In words, for who expected another. */
export function describe(ending: Ending): string {
  if (ending.kind === "value") return "it gave a value";
  const { error } = ending;
  return error instanceof GuestError
    ? `it threw ${error.guestName}: ${error.message}`
    : `it was stopped: ${error.reason}: ${error.message}`;
}
