/**
 * Finds modules for the engine. Their texts lie in the session's memory; the kernel gives them out, and is told what the
 * engine will know each by.
 *
 * All that an import reaches is looked up and parsed before the engine begins to link. A module that turned out to be missing
 * in the middle would leave the engine with others that point to what it freed.
 */
import { type CompiledModule, compileModule } from "../../compile/module.js";
import { type Place, SourceError } from "../../compile/source-error.js";
import { KERNEL_FILENAME } from "./guest-bytecode.js";
import { SourceCache } from "./source-cache.js";
import { resolveSpecifier, withoutMark } from "./specifiers.js";

/** The kernel's table of modules; guest/modules.ts is the other end. Requests and answers are JSON text. */
export interface ModuleTable {
  ask(request: string): string;
  /** Has the kernel make the error that the request describes, and throws it in the guest. */
  throw(request: string): void;
}

type Found = readonly [name: string, engineName: string, isTypeScript: boolean, text: string];

interface Wanted {
  readonly name: string;
  readonly specifier: string;
  readonly importer: string;
  /** Where the importer names it; undefined for a dynamic import. */
  readonly place?: Place;
}

/** No module has this name: who asks for it is told why the last import failed. */
const NOT_THERE = "livescope:not-there";

export class ModuleLoader {
  readonly #compiled = new SourceCache<CompiledModule | SourceError>();
  #failure = "";

  /** The engine's name of what a specifier leads to. */
  resolve(table: ModuleTable, importerName: string, specifier: string): string {
    const importer = withoutMark(importerName);
    // The kernel names modules, it does not import them.
    const name = importerName === KERNEL_FILENAME ? specifier : resolveSpecifier(specifier, importer);
    const found = find(table, name, specifier);
    if (found !== undefined && found[1] !== "") return found[1];
    const failure = this.#link(table, { name, specifier, importer });
    if (failure === undefined) return find(table, name)?.[1] ?? NOT_THERE;
    this.#failure = failure;
    return NOT_THERE;
  }

  /** The text that the engine is to compile; undefined when it has thrown instead. */
  load(table: ModuleTable, engineName: string): string | undefined {
    const found = JSON.parse(table.ask(JSON.stringify(["text", engineName]))) as Found | null;
    const compiled = found === null ? undefined : this.#compile(found);
    if (compiled !== undefined && !(compiled instanceof SourceError)) return compiled.source;
    table.throw(this.#failure);
    return undefined;
  }

  /**
   * Names all modules for the engine that an import reaches and that it does not know yet.
   *
   * @returns the request for the error if one of them cannot be had; none is named then
   */
  #link(table: ModuleTable, first: Wanted): string | undefined {
    const reached = new Map<string, CompiledModule>();
    const wanted = [first];
    for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) {
      const { name } = next;
      if (reached.has(name)) continue;
      const found = find(table, name);
      if (found === undefined) return missing(next);
      if (found[1] !== "") continue;
      const compiled = this.#compile(found);
      if (compiled instanceof SourceError) return broken(name, compiled);
      reached.set(name, compiled);
      // The last is taken first, so that of several that are missing the first is told.
      for (const { specifier, place } of compiled.imports.toReversed()) {
        wanted.push({ name: resolveSpecifier(specifier, name), specifier, importer: name, place });
      }
    }
    for (const [name, { positions }] of reached) {
      table.ask(JSON.stringify(["link", name, positions === undefined ? "" : JSON.stringify(positions)]));
    }
    return undefined;
  }

  #compile([name, , isTypeScript, text]: Found): CompiledModule | SourceError {
    // The length tells where the name ends: in a name may stand whatever stands in a text.
    return this.#compiled.get(`${isTypeScript ? "t" : "j"}${name.length};${name}${text}`, () => {
      try {
        return compileModule(text, name, isTypeScript);
      } catch (error) {
        if (error instanceof SourceError) return error;
        throw error;
      }
    });
  }
}

/** @param specifier of an import that the engine begins with; the kernel enters its context */
function find(table: ModuleTable, name: string, specifier?: string): Found | undefined {
  const request = specifier === undefined ? ["find", name] : ["find", name, specifier];
  return (JSON.parse(table.ask(JSON.stringify(request))) as Found | null) ?? undefined;
}

function missing({ specifier, importer, place }: Wanted): string {
  return JSON.stringify(["missing", specifier, importer, importer, place?.line ?? 0, place?.column ?? 0]);
}

function broken(name: string, { message, place }: SourceError): string {
  return JSON.stringify(["broken", message, "", name, place.line, place.column]);
}
