/** What executions are warned of. */
import type { Effect } from "../engine/kernel-protocol.js";
import { innermostFrame, type Warning } from "./outcome.js";

/** @param whose says where it was rejected; undefined where that is the execution that is warned */
export function warningsOf(effect: Effect & { kind: "warning" }, whose: string | undefined): Warning[] {
  const { message, stack } = JSON.parse(effect.text) as { message: string; stack: string };
  const frame = innermostFrame(stack);
  const where = whose === undefined ? "" : ` in ${whose}`;
  const warning = { message: `unhandled rejection${where}: ${message}`, ...(frame === undefined ? {} : { frame }) };
  if (effect.more === 0) return [warning];
  return [warning, { message: `${effect.more} more promises were rejected and nobody handled it` }];
}

/** What a warning calls an execution that has ended. @param names execution_ids of the newest, by number */
export function nameOf(number: number, names: ReadonlyMap<number, string>): string {
  if (number === 0) return "code that no execution owns";
  return `execution ${names.get(number) ?? "(unknown)"}, which has ended`;
}
