/** The web platform's names in the realm, against what Node makes of the same expressions. */
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine, type TurnResult } from "../engine/engine.js";
import type { SessionMemory } from "../engine/session-memory.js";
import * as cases from "./platform.cases.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

class Guest {
  readonly memory: SessionMemory = engine.createMemory(64 << 20);
  #execution = 0;

  async turn(code: string): Promise<TurnResult> {
    const command = { kind: "execute", code, filename: "test.js", bindings: new Map() } as const;
    const execution = { number: ++this.#execution, encoding: 1, handleGroup: "", valueBytes: 1 << 20, handles: 1000 };
    return new Promise((done) => {
      engine.run(this.memory, [
        { input: { kind: "run", command, execution }, budget: 20_000, consoleBytes: 1000, done },
      ]);
    });
  }

  /** What the code gives, as JSON can carry it; an exception as `name: message`. */
  async run(code: string): Promise<unknown> {
    const result = await this.turn(code);
    if (result.kind === "undone") return `undone: ${result.reason}`;
    const [effect] = result.effects;
    if (effect === undefined || !("text" in effect)) return undefined;
    const value = effect.text === "" ? undefined : (JSON.parse(effect.text) as unknown);
    if (effect.kind !== "exception") return value;
    const { name, message } = value as { name: string; message: string };
    return `${name}: ${message}`;
  }
}

/** Gives JSON text: of the value, or of what was thrown. */
function telling(expression: string): string {
  return `(async () => {
    const text = (value) => JSON.stringify(value, (_, it) =>
      it === undefined ? "undefined" : typeof it === "bigint" ? it + "n" : it instanceof Uint8Array ? [...it] : it);
    try { return text(await (${expression})) }
    catch (error) { return text({ thrown: error.name, code: error instanceof DOMException ? error.code : undefined }) }
  })()`;
}

describe.each(Object.entries(cases))("%s", (_, expressions) => {
  test.each(expressions.map((expression) => [expression]))("as in Node: %s", async (expression) => {
    const code = telling(expression);
    const expected: unknown = await runInThisContext(code);
    expect(await new Guest().run(code)).toBe(expected);
  });
});
