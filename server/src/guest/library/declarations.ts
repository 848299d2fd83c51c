/** What is seldom to be done for the names of a session's top level (../names.ts): every session would carry it. */
import { openExecution } from "../executions.js";
import { getOwnPropertyDescriptor, KernelSyntaxError, ownKeys } from "../intrinsics.js";
import { defineVariable, globalObject } from "../names.js";
import { hasOwnValue } from "../properties.js";

/** Takes away what was declared by executions that ended before it had a value. @param pending numbers of executions by their declarations */
export function forgetEnded(pending: Map<string, number>): void {
  pending.forEach((owner, key) => {
    if (openExecution(owner) === undefined) pending.delete(key);
  });
}

/** As the language does for the names that nobody may change: undefined, NaN, Infinity. @param known cannot be configured */
export function refuseFixed(name: string, known: PropertyDescriptor): void {
  if (hasOwnValue(known) && known.writable === false) {
    throw new KernelSyntaxError(`Identifier '${name}' has already been declared`);
  }
}

/** See ../names.ts. */
export function declareFunctions(functions: Record<string, unknown>): void {
  const names = ownKeys(functions);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || known.configurable === true) defineVariable(name, functions[name]);
    else globalObject[name] = functions[name];
  }
}
