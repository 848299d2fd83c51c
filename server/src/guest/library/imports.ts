/**
 * In which context a module runs that `import()` brings in. The engine loads it in a job of its own; when it asks for the module
 * of a specifier, what was noted for it is entered. A module that waits for another's top-level await begins in a later job, so
 * compiled modules that import others say that they begin.
 */
import { type Context, currentContext, enterContext, isEntered, resumeContext } from "../contexts.js";
import { SafeMap } from "../intrinsics.js";

interface Import {
  readonly specifier: string;
  readonly context: Context;
}

/** Those that are under way, by their order. */
const noted = new SafeMap<number, Import>();
let first = 0;
let next = 0;

/** Compiled sources give to `import()` what this gives. */
export function noteImport(specifier: unknown): unknown {
  if (typeof specifier !== "string") return specifier;
  noted.set(next, { specifier, context: currentContext() });
  // Only now: where the stack has no room for the import, none is missing.
  next++;
  return specifier;
}

/** The engine begins with an import, in the order they were asked for; what was noted before and did not come failed. */
export function beginImport(specifier: string): void {
  if (isEntered()) return;
  for (let i = first; i < next; i++) {
    const found = noted.get(i) as Import;
    if (found.specifier !== specifier) continue;
    for (; first <= i; first++) noted.delete(first);
    return enterContext(found.context);
  }
}

/** Contexts of modules that were linked and have not begun, by their names. */
const linked = new SafeMap<string, Context>();

/** The engine is about to link a module. */
export function noteModule(name: string): void {
  linked.set(name, currentContext());
}

/** A module begins. */
export function beginModule(name: string): void {
  const context = linked.get(name);
  linked.delete(name);
  if (context !== undefined && !isEntered()) resumeContext(context);
}
