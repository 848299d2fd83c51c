/** The way to the session's modules; library/modules.ts has them. */
import type { Execution } from "./executions.js";
import { SafeMap } from "./intrinsics.js";
import { library } from "./libraries.js";
import { readNumber } from "./protocol.js";
import { readText } from "./read-text.js";

interface Modules {
  isFree(name: string, text: string): boolean;
  addModule(name: string, text: string): void;
  executeModule(execution: Execution, name: string, text: string, isTypeScript: boolean): void;
  serveModules(request: string): unknown;
}

const modules = () => library("modules") as unknown as Modules;

/**
 * Adds the modules of the input, all or none.
 *
 * @returns the name of one that the session has already with another text
 */
export function addModules(): string | undefined {
  const count = readNumber();
  if (count === 0) return undefined;
  const { isFree, addModule } = modules();
  const added = new SafeMap<string, string>();
  for (let i = 0; i < count; i++) {
    const name = readText();
    const text = readText();
    if (!isFree(name, text) || (added.get(name) ?? text) !== text) return name;
    added.set(name, text);
  }
  added.forEach((text, name) => {
    addModule(name, text);
  });
  return undefined;
}

/** Runs the module of the input, if the execution has one. */
export function executeModule(execution: Execution): boolean {
  if (readNumber() === 0) return false;
  const isTypeScript = readNumber() === 1;
  const filename = readText();
  const name = filename === "" ? `module-${execution.number}.${isTypeScript ? "ts" : "js"}` : filename;
  modules().executeModule(execution, name, readText(), isTypeScript);
  return true;
}

/** Answers the host's module loader. */
export function serveModules(request: string): unknown {
  return modules().serveModules(request);
}
