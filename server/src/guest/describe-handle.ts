/** Tells of a value that stays in its session. */
import { className, inspect, typeName } from "./inspect.js";
import { stringify } from "./intrinsics.js";
import { ownValue } from "./properties.js";
import { isProxy } from "./proxies.js";

const PREVIEW_LIMIT = 120;

/** JSON text of a `Handle` message; `id` is empty where no handle can live. */
export function describeHandle(value: unknown, id: string): string {
  const { type, className, preview, arity } = describe(value);
  return `{"handleId":"${id}","type":"${type}","className":${className},"preview":${preview},"arity":${arity}}`;
}

/** The same as a node of a graph. */
export function describeHandleInGraph(value: unknown, id: string): string {
  const { type, className, preview, arity } = describe(value);
  return `["Handle","${id}","${type}",${className},${preview},${arity}]`;
}

/** JSON texts of what a handle tells about its value. */
function describe(value: unknown): { type: string; className: string; preview: string; arity: number } {
  const type = typeName(value);
  const isObject = (typeof value === "object" && value !== null) || type === "function";
  const name = isObject ? className(value as object) : "";
  const arity = type === "function" && !isProxy(value as object) ? ownValue(value as object, "length") : 0;
  return {
    type,
    className: stringify(name),
    preview: stringify(inspect(value, PREVIEW_LIMIT, 1)),
    arity: typeof arity === "number" && arity >= 0 && arity < 65_536 ? arity | 0 : 0,
  };
}
