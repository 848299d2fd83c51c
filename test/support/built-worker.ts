/** Run before all tests: those of the main thread's code run from its sources, but threads from what was built of theirs. */
import { existsSync, readdirSync, statSync } from "node:fs";

const DIST = new URL("../../server/dist/", import.meta.url);
const FOLDERS = ["engine/worker", "compile"].map((name) => new URL(`${name}/`, DIST));
const BUNDLE = new URL("engine/worker/bundle.js", DIST);

/** @throws Error when what was compiled later is not in the bundle: tests would run what was there before */
export function setup(): void {
  if (!existsSync(BUNDLE)) throw new Error("the worker threads are not built; run `npm run build`");
  const bundled = statSync(BUNDLE).mtimeMs;
  for (const folder of FOLDERS) {
    for (const name of readdirSync(folder)) {
      if (!name.endsWith(".js") || statSync(new URL(name, folder)).mtimeMs <= bundled) continue;
      throw new Error(`${name} is newer than the bundle of the worker threads; run \`npm run build\``);
    }
  }
}
