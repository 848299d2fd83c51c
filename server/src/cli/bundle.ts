/** `livescope bundle`: a file and the packages that it imports, as one module for a session. */
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { ExitCode } from "./failure.js";
import { bytes } from "./tables.js";

interface Flags {
  readonly out?: string;
  readonly minify?: true;
}

/** A request has 4 MiB, of which the text is not all. */
const LARGE = 4_000_000;

export function bundleCommand(): Command {
  return new Command("bundle")
    .summary("make one module of a file and the npm packages it imports")
    .description(
      "Makes one ES module of a file, JavaScript or TypeScript, and of the npm packages that it imports. Run it with " +
        '"livescope run --module", or give it to execute as a module. It asks no server.',
    )
    .argument("<file>", "the file, or the name of an npm package that is installed")
    .option("-o, --out <file>", "where to write it, instead of standard output")
    .option("--minify", "write it as short as it can be; names of functions and classes stay")
    .addHelpText(
      "after",
      "\nExamples:\n  $ livescope bundle guest.ts --out guest.mjs\n" +
        "  $ livescope bundle guest.ts | livescope run --module -\n",
    )
    .action(async (file: string, { out, minify }: Flags) => {
      // Loaded for this command alone.
      const { bundle, BundleError } = await import("./bundler.js");
      let text: string;
      try {
        text = await bundle(file, { minify });
      } catch (error) {
        if (!(error instanceof BundleError)) throw error;
        for (const problem of error.problems) process.stderr.write(`livescope: ${problem}\n`);
        process.exitCode = ExitCode.USAGE;
        return;
      }
      const size = Buffer.byteLength(text);
      if (size > LARGE) {
        const advice = minify ? "import less" : "try --minify";
        process.stderr.write(`warning: ${bytes(size)} are more than a request may have, 4 MiB: ${advice}\n`);
      }
      if (out === undefined) process.stdout.write(text);
      else await writeFile(out, text);
    });
}
