/** Makes contexts. */
import { type Binding, type Context, MARK } from "./contexts.js";
import type { Execution } from "./executions.js";

export function makeContext(execution: Execution | undefined, bindings: Binding | undefined): Context {
  return { execution, bindings, mark: MARK };
}
