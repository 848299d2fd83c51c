/** Makes one module of a guest's code and of the npm packages that it imports. */
import { builtinModules } from "node:module";
import { relative } from "node:path";
import { type BuildFailure, build, type Message, type OnResolveArgs, type Plugin } from "esbuild";

/** Options of {@link bundle}. */
export interface BundleOptions {
  /** Writes it as short as it can be; names of functions and classes stay. Default: false. */
  readonly minify?: boolean | undefined;
}

/** What could not be bundled. */
export class BundleError extends Error {
  override readonly name = "BundleError";
  /** Each says where it is and what is wrong. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** The language that sessions speak, see docs/guest.md. */
const TARGET = "es2023";
/** Of a package's variants a session can use one for workers best, which needs no document, and then one for browsers. */
const CONDITIONS = ["worker", "module"];
/** Marks what a plugin has asked to be resolved itself. */
const ASKED_AGAIN = Symbol("asked again");

/**
 * Gives the text of one ES module that imports nothing: what `execute` takes with source type "module".
 *
 * @param file JavaScript or TypeScript, or the name of a package; packages are looked for from its folder upwards
 * @throws BundleError where something does not parse, imports what is not there, or needs what only Node has
 */
export async function bundle(file: string, { minify = false }: BundleOptions = {}): Promise<string> {
  try {
    const { outputFiles } = await build({
      entryPoints: [file],
      bundle: true,
      write: false,
      format: "esm",
      // This alone makes esbuild heed what packages say about browsers, where Node's own modules are missing as well.
      platform: "browser",
      target: TARGET,
      conditions: CONDITIONS,
      // Variants for workers and for browsers take it for granted that there is a `self`, which sessions do not have.
      define: { "process.env.NODE_ENV": '"production"', global: "globalThis", self: "globalThis" },
      keepNames: true,
      minify,
      legalComments: "inline",
      charset: "utf8",
      logLevel: "silent",
      plugins: [refuseBuiltins],
    });
    return outputFiles[0]?.text ?? "";
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    throw new BundleError(problemsOf(error.errors));
  }
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

/** Who asked for a builtin module. */
interface Refusal {
  readonly who: string;
  readonly builtin: string;
}

/** One line for each problem, and for each package that asks for builtin modules one for all of them. */
function problemsOf(messages: readonly Message[]): string[] {
  const problems: string[] = [];
  const refused = new Map<string, Set<string>>();
  for (const { text, location, detail } of messages) {
    if (isRefusal(detail)) refused.set(detail.who, (refused.get(detail.who) ?? new Set()).add(detail.builtin));
    else problems.push(location === null ? text : `${location.file}:${location.line}:${location.column + 1}: ${text}`);
  }
  for (const [who, builtins] of refused) {
    problems.push(`${who} asks for ${[...builtins].join(", ")}: of Node's own modules a session has none`);
  }
  return problems;
}

function isRefusal(detail: unknown): detail is Refusal {
  return typeof detail === "object" && detail !== null && "builtin" in detail;
}

/** Of those that are named without `node:`, an installed package of the same name may stand in, or the importing package leave it out. */
const refuseBuiltins: Plugin = {
  name: "refuse-builtins",
  setup(build) {
    const names = builtinModules.filter((name) => !name.startsWith("_")).join("|");
    build.onResolve({ filter: new RegExp(`^(?:node:.+|(?:${names})/?)$`) }, async (args) => {
      if (args.pluginData === ASKED_AGAIN) return undefined;
      if (!args.path.startsWith("node:")) {
        const { importer, kind, resolveDir } = args;
        const found = await build.resolve(args.path, { importer, kind, resolveDir, pluginData: ASKED_AGAIN });
        if (found.errors.length === 0) return undefined;
      }
      const refusal: Refusal = { who: askerOf(args), builtin: args.path };
      return { errors: [{ detail: refusal }] };
    });
  },
};

/** The package that a file belongs to, or the file. Names of packages begin with no dot. */
function askerOf({ importer }: OnResolveArgs): string {
  const [, packageName] = /.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/.][^\\/]*)/.exec(importer) ?? [];
  return packageName === undefined ? relative(process.cwd(), importer) : `the package ${packageName}`;
}
