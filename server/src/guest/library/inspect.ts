/** How values look to people: previews of any value, and the console's rendering. */
import { Context } from "./inspect/context.js";
import { callMethod, write } from "./inspect/methods.js";
import { render } from "./inspect/value.js";

export { callMethod, write };

/** One line, however long; what is rendered ends soon after `limit` UTF-16 units. */
export function preview(value: unknown, limit: number, depth: number): string {
  return render(new Context(depth, limit, false, true), value, 0);
}
