/** The command, as it was built. */
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The program that the package's command runs: a bundle of what was compiled. */
export const MAIN = fileURLToPath(new URL("../../server/dist/command/main.js", import.meta.url));

/** @throws Error when what was compiled later is not in the bundle: tests would run what was there before */
function refuseFormer(): void {
  const bundled = statSync(MAIN).mtimeMs;
  for (const part of ["server", "sdk", "proto"]) {
    const folder = fileURLToPath(new URL(`../../${part}/dist/`, import.meta.url));
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".js") || name.startsWith("command") || statSync(folder + name).mtimeMs <= bundled) continue;
      throw new Error(`${part}/dist/${name} is newer than the bundle of the command; run \`npm run build\``);
    }
  }
}
refuseFormer();
