/** Lines that were typed, kept for the next time in a file that only its owner can read. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** How many lines are offered. */
export const HISTORY_SIZE = 1_000;
/** The file is cut back to what is offered when it has more than so many. */
const MOST_LINES = 4 * HISTORY_SIZE;

/**
 * The file that the environment asks for: LIVESCOPE_HISTORY, of which the empty text means none; else one in the user's
 * state directory, or in the home directory.
 */
export function historyFile(environment: NodeJS.ProcessEnv): string | undefined {
  const { LIVESCOPE_HISTORY: file, XDG_STATE_HOME: states } = environment;
  if (file !== undefined) return file === "" ? undefined : file;
  return states === undefined || states === ""
    ? join(homedir(), ".livescope_history")
    : join(states, "livescope", "history");
}

/** A history that cannot be read or written is no reason to stop: it is then one for this process alone. */
export class History {
  /** The newest first. */
  readonly lines: string[] = [];
  readonly #file: string | undefined;

  /** @param file absent: nothing is kept */
  constructor(file: string | undefined) {
    this.#file = file;
    if (file === undefined) return;
    try {
      const kept = readFileSync(file, "utf8").split("\n").filter(Boolean);
      this.lines = kept.slice(-HISTORY_SIZE).reverse();
      if (kept.length > MOST_LINES) writeFileSync(file, `${kept.slice(-HISTORY_SIZE).join("\n")}\n`);
    } catch {
      // There is none yet.
    }
  }

  /** Keeps a line. Several processes may add to the same file. */
  add(line: string): void {
    if (this.#file === undefined || line.trim() === "") return;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      appendFileSync(this.#file, `${line}\n`, { mode: 0o600 });
    } catch {
      // See above.
    }
  }
}
