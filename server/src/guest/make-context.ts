/** Makes contexts. */
import { type Binding, Context } from "./contexts.js";
import type { Execution } from "./executions.js";

export function makeContext(execution: Execution | undefined, bindings: Binding | undefined): Context {
  return new Context(execution, bindings);
}
