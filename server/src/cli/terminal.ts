/** What is written where: text of guests made harmless, colours where they can be seen, and progress. */
import { once } from "node:events";
import type { WriteStream } from "node:tty";
import { styleText } from "node:util";

type Output = NodeJS.WriteStream;
type Style = Parameters<typeof styleText>[0];

/** Gives a text a colour, or leaves it alone. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_style, text) => text;

/** Colours on a terminal that shows them; the variables NO_COLOR and FORCE_COLOR are Node's to know. */
export function paintFor(output: Output): Paint {
  return output.isTTY && (output as WriteStream).hasColors() ? (style, text) => styleText(style, text) : plain;
}

const ESCAPE = "\u001b";
/** A control character, with what would make a colour of it. */
const CONTROL = /\p{Cc}(?:\[[\d;]*m)?/gu;

/**
 * Makes a text safe for a terminal: what guests and other clients wrote could move the cursor, or reach the clipboard. Tabs, line feeds
 * and colours stay; other control characters are written as escapes.
 */
export function printable(text: string): string {
  return text.replace(CONTROL, (found) => {
    const [control = "", ...rest] = found;
    if (control === "\n" || control === "\t" || (control === ESCAPE && rest.length > 0)) return found;
    return `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}${rest.join("")}`;
  });
}

/** Writes a line that guests had a hand in: made harmless on a terminal, as it is to files and pipes. */
export function writeLine(output: Output, text: string): void {
  output.write(`${output.isTTY ? harmless(text) : text}\n`);
}

/** Resolves when whoever reads standard output has kept up. Of what never ends, and of long lists, no more is to be asked for before. */
export async function taken(): Promise<void> {
  if (process.stdout.writableNeedDrain) await once(process.stdout, "drain");
}

/** Colours that the text leaves on end with it. */
function harmless(text: string): string {
  return text.includes(ESCAPE) ? `${printable(text)}${ESCAPE}[0m` : printable(text);
}

/** Writes one JSON document on a line of its own. */
export function writeJson(document: unknown): void {
  // JSON leaves some control characters as they are, which a terminal may heed.
  const text = JSON.stringify(document).replace(/\p{Cc}/gu, (found) => `\\u00${found.charCodeAt(0).toString(16)}`);
  process.stdout.write(`${text}\n`);
}

const PATIENCE = 1_000;

/** Says on a terminal, on one line that it takes away again, what has been under way for more than a second. */
export class Progress implements Disposable {
  readonly #label: () => string;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout | undefined;
  #isShown = false;

  constructor(label: () => string) {
    this.#label = label;
    if (process.stderr.isTTY) this.#timer = setInterval(() => this.#show(), PATIENCE).unref();
  }

  /** Makes room for other output. The line comes back if it still goes on. */
  clear(): void {
    if (this.#isShown) process.stderr.write(`\r${ESCAPE}[K`);
    this.#isShown = false;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.clear();
  }

  #show(): void {
    const seconds = Math.round((performance.now() - this.#began) / 1_000);
    process.stderr.write(`\r${ESCAPE}[K${this.#label()}, ${seconds} s`);
    this.#isShown = true;
  }
}
