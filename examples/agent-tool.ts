/**
 * A tool for a language model: it runs the code that the model wrote, in a session that remembers. Code that fails leaves
 * nothing behind, whatever it prints is bounded, and of several attempts each has a copy of the session to itself.
 *
 *     npx tsx examples/agent-tool.ts 127.0.0.1:50051
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { ExecutionError, GuestError, Handle, Livescope, type Session } from "@livescope/sdk";

/** What the model is told, in the form that most of their interfaces take. */
export const TOOL = {
  name: "javascript",
  description:
    "Runs JavaScript. Names defined at top level stay for later calls, unless the code throws: then nothing of it stays. " +
    "There is no network and no file system. The last value and the console are the result.",
  input_schema: { type: "object", properties: { code: { type: "string" } }, required: ["code"] },
} as const;

/** What an attempt came to. */
export interface Result {
  /** True if the code ended well. */
  readonly ok: boolean;
  /** What the model is to read. */
  readonly text: string;
}

export class CodeTool implements AsyncDisposable {
  readonly #mostText: number;
  #session: Session;

  /** @param mostText how much the model reads of one result, in characters */
  static async open(client: Livescope, { mostText = 2_000 } = {}): Promise<CodeTool> {
    // A value that is larger comes as a handle, which has a preview.
    const limits = { timeout: 2_000, memoryBytes: 64 << 20, consoleBytes: 4 * mostText, valueBytes: 64 << 10 };
    return new CodeTool(await client.createSession({ limits }), mostText);
  }

  private constructor(session: Session, mostText: number) {
    this.#session = session;
    this.#mostText = mostText;
  }

  /** Runs code in the session. If it throws or is stopped, the session is as it was. */
  run(code: string): Promise<Result> {
    return this.#run(this.#session, code);
  }

  /**
   * Tries each piece of code in a copy of the session, all at once, and goes on with the first, in their order, that ended well
   * and after which `check`, an expression, is true. Without one the session stays as it is.
   * @returns the results, and the index of the one that was kept, or -1
   */
  async attempt(candidates: readonly string[], check: string): Promise<{ kept: number; results: Result[] }> {
    const copies = await this.#session.fork(candidates.length);
    try {
      const results = await Promise.all(copies.map((copy, i) => this.#run(copy, candidates[i] as string)));
      const checks = await Promise.all(copies.map((copy) => copy.execute<boolean>(`!!(${check})`).catch(() => false)));
      const kept = results.findIndex(({ ok }, i) => ok && checks[i]);
      const [winner] = kept < 0 ? [] : copies.splice(kept, 1, this.#session);
      this.#session = winner ?? this.#session;
      return { kept, results };
    } finally {
      await Promise.all(copies.map((copy) => copy.delete()));
    }
  }

  async #run(session: Session, code: string): Promise<Result> {
    try {
      const { value, console } = await session.execute(code, { atomic: true, filename: "tool.js" }).execution();
      const lines = console.map(({ text }) => text);
      if (value !== undefined) lines.push(`=> ${show(value)}`);
      if (value instanceof Handle) await value.release();
      return { ok: true, text: this.#cut(lines.join("\n")) };
    } catch (error) {
      if (!(error instanceof ExecutionError)) throw error;
      const lines = error.console.map(({ text }) => text);
      const [what, where] =
        error instanceof GuestError ? [`${error.guestName}: ${error.message}`, error.guestStack] : [error.message, ""];
      lines.push(`failed, and nothing of it stays: ${what}`, where.trimEnd());
      return { ok: false, text: this.#cut(lines.join("\n").trimEnd()) };
    }
  }

  /** Keeps the begin and the end, which tell most. */
  #cut(text: string): string {
    if (text.length <= this.#mostText) return text;
    const half = Math.floor(this.#mostText / 2);
    return `${text.slice(0, half)}\n[${text.length - 2 * half} characters left out]\n${text.slice(-half)}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session.delete();
  }
}

function show(value: unknown): string {
  if (value instanceof Handle) return value.preview;
  return inspect(value, { depth: 4, maxArrayLength: 50, maxStringLength: 1_000 });
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  await using client = await Livescope.connect(argv[2] ?? "127.0.0.1:50051");
  await using tool = await CodeTool.open(client);
  console.log((await tool.run("const words = 'to be or not to be'.split(' '); words.length")).text);
  console.log((await tool.run("words.length = 0; words.sort().first()")).text);
  const attempts = ["var unique = words.filter((w) => w)", "var unique = [...new Set(words)]"];
  console.log((await tool.attempt(attempts, "unique.length === 4")).kept);
  console.log((await tool.run("unique")).text);
}
