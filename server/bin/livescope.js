#!/usr/bin/env node
// The package's command. A file that is not built, so that npm finds it when it installs a clone.
import { existsSync } from "node:fs";

const main = new URL("../dist/command/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('livescope: it is not built yet; run "npm run build"\n');
  process.exitCode = 2;
}
