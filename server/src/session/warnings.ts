/** What an execution is warned of, read from the effects of a turn. */
import type { Effect } from "../engine/kernel-protocol.js";
import { innermostFrame, type Warning } from "./outcome.js";

/** The execution_id behind a number; undefined for one that ended long ago. */
export type NameOfExecution = (number: number) => string | undefined;

/** Warnings of one that has ended go to who is in flight, and name it. @param own number of the execution that is warned */
export function warningsOf(effects: readonly Effect[], own: number, nameOf: NameOfExecution): Warning[] {
  const warnings: Warning[] = [];
  for (const effect of effects) {
    if (effect.kind !== "warning") continue;
    const { message, stack } = JSON.parse(effect.text) as { message: string; stack: string };
    const frame = innermostFrame(stack);
    const whose = effect.execution === own ? "" : ` in ${nameFor(effect.execution, nameOf)}`;
    warnings.push({ message: `unhandled rejection${whose}: ${message}`, ...(frame === undefined ? {} : { frame }) });
    if (effect.more > 0) warnings.push({ message: `${effect.more} more promises were rejected and nobody handled it` });
  }
  return warnings;
}

function nameFor(number: number, nameOf: NameOfExecution): string {
  if (number === 0) return "code that no execution owns";
  return `execution ${nameOf(number) ?? "(unknown)"}, which has ended`;
}
