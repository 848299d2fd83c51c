/** The guest's `console`. Each entry leaves at once, attributed to the execution that runs. */
import { log } from "./host.js";
import { inspect } from "./inspect.js";
import { dateNow, defineProperty, slice, stringify } from "./intrinsics.js";

const TEXT_LIMIT = 65_536;
const LEVELS = ["debug", "log", "info", "warn", "error"] as const;

export function installConsole(currentExecution: () => number): void {
  const console: Record<string, (...values: unknown[]) => void> = {};
  const add = (level: string): void => {
    console[level] = {
      [level](...values: unknown[]): void {
        let text = "";
        for (let i = 0; i < values.length && text.length < TEXT_LIMIT; i++) {
          const value = values[i];
          const shown = typeof value === "string" ? value : inspect(value, TEXT_LIMIT);
          text = i === 0 ? shown : `${text} ${shown}`;
        }
        log(
          currentExecution(),
          `{"level":"${level}","time":${dateNow()},"text":${stringify(slice(text, 0, TEXT_LIMIT))}}`,
        );
      },
    }[level] as (...values: unknown[]) => void;
  };
  for (const level of LEVELS) add(level);
  defineProperty(globalThis, "console", { value: console, writable: true, enumerable: false, configurable: true });
}
