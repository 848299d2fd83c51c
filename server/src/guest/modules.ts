/** The way to the session's modules; library/modules.ts has them. */
import type { Execution } from "./executions.js";
import { library } from "./libraries.js";
import { readNumber } from "./protocol.js";

interface Modules {
  addModules(count: number): void;
  executeModule(execution: Execution, isTypeScript: boolean): void;
  serveModules(request: string): unknown;
}

function modules(): Modules {
  return library("modules") as unknown as Modules;
}

/** Adds the modules of the input, all or none. */
export function addModules(): void {
  const count = readNumber();
  if (count > 0) modules().addModules(count);
}

/** Runs the module of the input, if the execution has one. */
export function executeModule(execution: Execution): boolean {
  const kind = readNumber();
  if (kind === 0) return false;
  modules().executeModule(execution, readNumber() === 1);
  return true;
}

/** Answers the host's module loader. */
export function serveModules(request: string): unknown {
  return modules().serveModules(request);
}
