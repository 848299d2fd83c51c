/** The names of a template, by the blocks that declare them. */
import { unescaped } from "./locals-transform.js";

/** How many blocks of generated code may stand inside each other. */
const DEEPEST = 250;

/** Whatever is no sign of the language and no white space, with the dots before it. */
const WORDS = /\.{0,2}(?:[\w$]|(?!\s)[\u0080-\uffff])+/g;

/** Names that a piece of code could mean; those behind a single dot are properties. Never fewer than it does mean. */
export function namesIn(code: string): Set<string> {
  const names = new Set<string>();
  const plain = unescaped(code);
  for (const text of plain === code ? [code] : [code, plain]) {
    for (const word of text.match(WORDS) ?? []) {
      if (!word.startsWith(".")) names.add(word);
      else if (word.startsWith("..")) names.add(word.slice(2));
    }
  }
  return names;
}

interface Scope {
  readonly names: Set<string>;
  /** How many pieces of code had been written when it began. */
  readonly from: number;
  /** Blocks that declarations opened; they end with it. */
  opened: number;
}

export class Scopes {
  readonly #scopes: Scope[];
  #written = 0;
  /** Names in the code that was written, each with the number of the last piece that could mean it. */
  readonly #mentioned = new Map<string, number>();
  #depth = 0;

  /** @param context names that are there before the template's own */
  constructor(context: readonly string[]) {
    this.#scopes = [{ names: new Set(context), from: 0, opened: 0 }];
  }

  get isTooDeep(): boolean {
    return this.#depth > DEEPEST;
  }

  begin(): void {
    this.#depth++;
    this.#scopes.push({ names: new Set(), from: this.#written, opened: 0 });
  }

  /** @returns how many blocks end with it that declarations opened */
  end(): number {
    const opened = this.#scopes.pop()?.opened ?? 0;
    this.#depth -= 1 + opened;
    return opened;
  }

  /** Takes note of a piece of the author's code. */
  wrote(code: string): void {
    for (const name of namesIn(code)) this.#mentioned.set(name, this.#written);
    this.#written++;
  }

  /** True if the innermost block has code in it, so far, that could mean a name of these; never false where it does. */
  mentions(names: readonly string[]): boolean {
    const { from } = this.#innermost;
    return names.some((name) => (this.#mentioned.get(name) ?? -1) >= from);
  }

  has(name: string): boolean {
    return this.#scopes.some(({ names }) => names.has(name));
  }

  /** Declares a name in the innermost block. @returns what it hides there */
  declare(name: string): "nothing" | "context" | "template" {
    const hidden = this.#scopes.findLastIndex(({ names }) => names.has(name));
    this.#innermost.names.add(name);
    return hidden < 0 ? "nothing" : hidden === 0 ? "context" : "template";
  }

  /** The rest of the innermost block becomes a block of its own. */
  openRest(): void {
    this.#depth++;
    this.#innermost.opened++;
  }

  get #innermost(): Scope {
    return this.#scopes.at(-1) as Scope;
  }
}
