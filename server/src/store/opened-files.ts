/** Files that a library holds open by their names: whether those still lead to them. */
import { statSync } from "node:fs";

export class OpenedFiles {
  readonly #files: readonly { readonly path: string; readonly identity: string }[];

  constructor(paths: readonly string[]) {
    this.#files = paths.map((path) => ({ path, identity: identityOf(path) }));
  }

  /** The path of one that was removed or replaced since; undefined where none was. */
  get lost(): string | undefined {
    return this.#files.find(({ path, identity }) => identityOf(path) !== identity)?.path;
  }
}

/** Tells a file from another one in its place; empty where none can be found. */
function identityOf(path: string): string {
  try {
    const { dev, ino } = statSync(path);
    return `${dev} ${ino}`;
  } catch {
    return "";
  }
}
