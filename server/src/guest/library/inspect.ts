/** How values look to people: previews of any value, and the console's rendering. Loaded when first needed. */
import type { Captured } from "../inspect.js";
import { capture } from "./inspect/captured.js";
import { Context } from "./inspect/context.js";
import { callMethod, connectOutput, type Output, write } from "./inspect/methods.js";
import { render } from "./inspect/value.js";

export { callMethod, write };

/** @param textLimit the most UTF-16 units of a console entry */
export function connect(captured: Captured, output: Output, textLimit: number): void {
  capture(captured);
  connectOutput(output, textLimit);
}

/** One line, however long; what is rendered ends soon after `limit` UTF-16 units. */
export function preview(value: unknown, limit: number, depth: number): string {
  return render(new Context(depth, limit, false, true), value, 0);
}
