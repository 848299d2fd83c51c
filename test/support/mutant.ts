/** The server with one change to its code, to see that a test would notice it. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SERVER = fileURLToPath(new URL("../../server", import.meta.url));

export interface Mutation {
  /** Of the built code, such as "session/commits.js"; what worker threads run is all in "engine/worker/bundle.js". */
  readonly file: string;
  /** Has to be there once. */
  readonly replace: string;
  readonly by: string;
}

/** Where packages are found as from the server itself, and no other tool looks. */
const PLACE = join(SERVER, "node_modules", ".mutants");

export class Mutant implements Disposable {
  /** Path of its program: not the bundle, which has what was there before. */
  readonly main: string;
  readonly #directory: string;

  /** @throws Error where the code is not what the mutations take it for */
  constructor(mutations: readonly Mutation[]) {
    mkdirSync(PLACE, { recursive: true });
    this.#directory = mkdtempSync(join(PLACE, "server-"));
    cpSync(join(SERVER, "dist"), join(this.#directory, "dist"), { recursive: true });
    cpSync(join(SERVER, "package.json"), join(this.#directory, "package.json"));
    this.main = join(this.#directory, "dist", "main.js");
    for (const { file, replace, by } of mutations) {
      const path = join(this.#directory, "dist", file);
      const code = readFileSync(path, "utf8");
      if (code.split(replace).length !== 2) throw new Error(`${file} does not have this once: ${replace}`);
      writeFileSync(path, code.replace(replace, by));
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
