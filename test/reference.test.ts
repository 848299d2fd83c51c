/** The API reference, which `npm run docs` makes of the doc comments. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./support/documents.js";
import { isLong } from "./support/is-long.js";
import { run } from "./support/run.js";

test.runIf(isLong)(
  "leaves out nothing that is exported, and links to nothing that is not there (with LIVESCOPE_LONG)",
  { timeout: 120_000 },
  async () => {
    const folder = join(ROOT, "docs/reference");
    const typedoc = join(folder, "node_modules/.bin/typedoc");
    const { exitCode, stdout, stderr } = await run(typedoc, ["--options", folder, "--emit", "none"]);
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
  },
);
