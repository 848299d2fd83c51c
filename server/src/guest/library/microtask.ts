/** `queueMicrotask`, by an `await`: no promise of guest code, and no method of theirs, stands in between. */

import { currentContext, resumeContext } from "../contexts.js";

export const { queueMicrotask } = {
  queueMicrotask(callback: unknown): void {
    if (typeof callback !== "function") throw new TypeError("queueMicrotask takes a function");
    void runLater(callback as () => unknown);
  },
};

/** What it throws is a rejection that nobody handles. */
async function runLater(callback: () => unknown): Promise<void> {
  const context = currentContext();
  await undefined;
  resumeContext(context);
  callback();
}
