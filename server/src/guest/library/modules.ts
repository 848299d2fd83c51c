/**
 * The modules of the session: their texts, by name, and the name under which the engine knows what was made of each.
 *
 * The engine keeps a module by its name for ever. A name whose text is executed again leads to the new module from then on,
 * which the engine knows under another mark; who imported the old one keeps it.
 */
import { type Execution, fail, follow, Phase } from "../executions.js";
import { Refused } from "../input-values.js";
import { dataProperty, isError } from "../inspect.js";
import {
  getPrototypeOf,
  indexOf,
  jsonParse,
  KernelReferenceError,
  SafeMap,
  SafeWeakSet,
  SyntaxErrorPrototype,
  slice,
  stringify,
} from "../intrinsics.js";
import { Refusal } from "../protocol.js";
import { readText } from "../read-text.js";
import { sealed } from "../sealed.js";
import { importModule } from "../sources.js";
import { syntaxError, withStack } from "../syntax-errors.js";
import { beginImport, noteImport, noteModule } from "./imports.js";
import { freshMark } from "./positions.js";

interface Module {
  readonly name: string;
  readonly text: string;
  readonly isTypeScript: boolean;
  /** Empty until something imports it. */
  engineName: string;
}

const byName = new SafeMap<string, Module>();
const byEngineName = new SafeMap<string, Module>();
/** Errors of modules that could not be loaded: nothing ran. */
const loadErrors = new SafeWeakSet<object>();

const NAMES_SHOWN = 20;

/** Reads this many modules of the input and adds them, all or none. */
export function addModules(count: number): void {
  const added = new SafeMap<string, string>();
  for (let i = 0; i < count; i++) {
    const name = readText();
    const text = readText();
    if ((added.get(name) ?? byName.get(name)?.text ?? text) !== text) throw new Refused(Refusal.MODULE_EXISTS, name);
    added.set(name, text);
  }
  added.forEach((text, name) => {
    addModule(name, text);
  });
}

/** Adds a module for others to import; one that the session has already stays. */
function addModule(name: string, text: string): void {
  if (byName.get(name) !== undefined) return;
  byName.set(name, { name, text, isTypeScript: slice(name, -3) === ".ts", engineName: "" });
}

/** Runs the module of the input under its name, which leads to it from now on; if it cannot be loaded, to the one before. */
export function executeModule(execution: Execution, isTypeScript: boolean): void {
  const filename = readText();
  const name = filename === "" ? `module-${execution.number}.${isTypeScript ? "ts" : "js"}` : filename;
  const text = readText();
  const before = byName.get(name);
  byName.set(name, { name, text, isTypeScript, engineName: "" });
  void follow(execution, sealed(evaluation(execution, name, before)), true);
}

async function evaluation(execution: Execution, name: string, before: Module | undefined): Promise<{ value: unknown }> {
  try {
    noteImport(name);
    return { __proto__: null, value: await sealed(importModule(name)) } as unknown as { value: unknown };
  } catch (error) {
    if (!isLoadError(error)) throw error;
    if (before === undefined) byName.delete(name);
    else byName.set(name, before);
    fail(execution, Phase.PARSE, error);
    throw error;
  }
}

/** The engine's own complaints, such as about an export that is not there, have no frame in a function. */
function isLoadError(error: unknown): boolean {
  if (!isError(error)) return false;
  if (loadErrors.has(error)) return true;
  const stack = dataProperty(error, "stack");
  return getPrototypeOf(error) === SyntaxErrorPrototype && typeof stack === "string" && indexOf(stack, "(") < 0;
}

/**
 * Answers the host's module loader; engine/worker/module-loader.ts is the other end.
 *
 * @param request JSON text of an array, the operation first
 * @returns JSON text; of `missing` and `broken` the error to throw
 */
export function serveModules(request: string): unknown {
  const operands = jsonParse(request) as readonly [string, string, string, string, number, number];
  const name = operands[1];
  switch (operands[0]) {
    case "find":
      // What is not there, guest code may have put into the prototypes of arrays.
      if (operands.length > 2) beginImport(operands[2]);
      return describe(byName.get(name));
    case "link":
      return link(name, operands[2]);
    case "text":
      return describe(byEngineName.get(name));
    case "missing":
      return loadError(missing(name, operands[2], operands[3], operands[4], operands[5]));
    default:
      return loadError(syntaxError(name, operands[3], operands[4], operands[5]));
  }
}

function describe(module: Module | undefined): string {
  if (module === undefined) return "null";
  const { name, text, isTypeScript, engineName } = module;
  return `[${stringify(name)},${stringify(engineName)},${isTypeScript},${stringify(text)}]`;
}

/** @param positions JSON text of the map; empty for none */
function link(name: string, positions: string): string {
  const module = byName.get(name) as Module;
  noteModule(name);
  const isFirst = positions === "" && byEngineName.get(name) === undefined;
  module.engineName = isFirst ? name : name + freshMark(positions);
  byEngineName.set(module.engineName, module);
  return stringify(module.engineName);
}

function missing(specifier: string, importer: string, filename: string, line: number, column: number): object {
  let names = "";
  let shown = 0;
  byName.forEach((_, name) => {
    if (shown++ < NAMES_SHOWN) names += `${names === "" ? "" : ", "}'${name}'`;
  });
  const has = names === "" ? "no modules" : shown > NAMES_SHOWN ? `${names} and ${shown - NAMES_SHOWN} more` : names;
  const error = new KernelReferenceError(
    `Cannot find module '${specifier}' imported from '${importer}'; the session has ${has}`,
  );
  return line === 0 ? error : withStack(error, filename, line, column);
}

function loadError(error: object): object {
  loadErrors.add(error);
  return error;
}
