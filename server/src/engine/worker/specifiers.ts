/** Names of modules, and what an import specifier means in the module that has it. */

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/**
 * The name that a specifier leads to. One that begins with `./` or `../` is relative to the importer's name; any other is the
 * name itself.
 */
export function resolveSpecifier(specifier: string, importer: string): string {
  if (!/^\.\.?(?:\/|$)/.test(specifier)) return specifier;
  if (SCHEME.test(importer) && URL.canParse(specifier, importer)) return new URL(specifier, importer).href;
  const steps = importer.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === ".") continue;
    const last = steps.at(-1);
    // Above the first folder there is nothing, except for a name that said so itself.
    if (step === ".." && last !== undefined && last !== ".." && last !== "") steps.pop();
    else steps.push(step);
  }
  return steps.join("/");
}

/** The name of a module that a caller gives: `./a.js` is `a.js`. */
export function moduleName(given: string): string {
  return resolveSpecifier(given, "");
}

/** What the engine's name of a module or script has beyond the caller's; see guest/positions.ts. */
const MARK = /\u2063#\d+$/;

/** The caller's name for what the engine knows under a marked one. */
export function withoutMark(engineName: string): string {
  return engineName.replace(MARK, "");
}
