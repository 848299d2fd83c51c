/**
 * A spreadsheet: cells with formulas that users wrote, computed where they live. Only what depends on a change is computed again.
 *
 *     npx tsx examples/formula-service.ts 127.0.0.1:50051
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { Livescope, type Session } from "@livescope/sdk";

/** Guest code. A cell is a getter of the global object, so that a formula names it as it names a function. */
const SHEET = `
  var sheet = (() => {
    const cells = new Map();
    const running = [];

    function define(name, text) {
      if (!/^[A-Za-z]\\w*$/.test(name) || (name in globalThis && !cells.has(name)))
        throw new TypeError("no cell can have this name: " + name);
      const cell = cells.get(name) ?? { name, reads: new Set(), readBy: new Set() };
      cell.formula = new Function("'use strict'; return (" + text + "\\n)");
      if (!cells.has(name)) Object.defineProperty(globalThis, name, { get: () => read(cell), enumerable: true });
      cells.set(name, cell);
      return cell;
    }

    function read(cell) {
      const reader = running.at(-1);
      if (reader !== undefined) {
        reader.reads.add(cell);
        cell.readBy.add(reader);
      }
      const cycle = running.includes(cell) ? [...running.slice(running.indexOf(cell)), cell] : [];
      if (cycle.length > 0) throw new RangeError("cycle: " + cycle.map(({ name }) => name).join(" > "));
      cell.result ??= compute(cell);
      if ("error" in cell.result) throw cell.result.error;
      return cell.result.value;
    }

    function compute(cell) {
      running.push(cell);
      try {
        return { value: cell.formula() };
      } catch (error) {
        return { error };
      } finally {
        running.pop();
      }
    }

    /** Forgets what a cell gave, and what was computed from it, and adds all these to a set. */
    function forget(cell, forgotten) {
      if (forgotten.has(cell)) return;
      forgotten.add(cell);
      delete cell.result;
      for (const other of cell.reads) other.readBy.delete(cell);
      cell.reads.clear();
      for (const reader of cell.readBy) forget(reader, forgotten);
    }

    function show(cell) {
      try {
        return read(cell);
      } catch (error) {
        return { error: String(error?.message ?? error) };
      }
    }

    return {
      set(formulas) {
        const forgotten = new Set();
        for (const [name, text] of Object.entries(formulas)) forget(define(name, text), forgotten);
        for (const cell of cells.values()) if ("error" in (cell.result ?? {})) forget(cell, forgotten);
        return Object.fromEntries([...forgotten].map((cell) => [cell.name, show(cell)]));
      },
    };
  })();
`;

/** What cells show: their values, or what is wrong with their formulas. */
export type Shown = Readonly<Record<string, unknown>>;

export class Sheet implements AsyncDisposable {
  readonly #session: Session;

  /** @param functions JavaScript that defines functions which all formulas may call */
  static async open(client: Livescope, functions = ""): Promise<Sheet> {
    const session = await client.createSession({ setup: SHEET, limits: { timeout: 2_000, memoryBytes: 32 << 20 } });
    const sheet = new Sheet(session);
    await session.execute(functions, { filename: "functions.js" });
    return sheet;
  }

  private constructor(session: Session) {
    this.#session = session;
  }

  /**
   * Gives cells their formulas, and what is shown in all cells that depend on them. A formula that fails is shown as
   * `{ error }`, and so is what depends on it; all such cells are computed again, for they may find now what they lacked.
   * @param formulas JavaScript expressions by the names of their cells
   * @throws {GuestError} if a formula does not parse, or a cell cannot have its name; none of them is set then
   * @throws {StoppedError} if they take too long; none of them is set then
   */
  set(formulas: Readonly<Record<string, string>>): Promise<Shown> {
    return this.#session.call<Shown>("sheet.set", [formulas], { atomic: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session.delete();
  }
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  await using client = await Livescope.connect(argv[2] ?? "127.0.0.1:50051");
  await using sheet = await Sheet.open(client, "const vat = (n) => Math.round(n * 1.19 * 100) / 100");
  console.log(await sheet.set({ A1: "10", A2: "20", SUM: "A1 + A2", GROSS: "vat(SUM)" }));
  console.log(await sheet.set({ A1: "30" }));
  console.log(await sheet.set({ A2: "GROSS" }));
}
