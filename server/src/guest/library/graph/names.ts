/** Classes that a graph names, in the order in which originals.ts has them. */
import { SafeMap } from "../../intrinsics.js";
import { errorClasses, viewClasses } from "../../originals.js";
import { ownValue } from "../../properties.js";

const VIEWS = [
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "BigInt64Array",
  "BigUint64Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "DataView",
];
const ERRORS = [
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  "AggregateError",
  "InternalError",
  "Error",
];

export const viewOfName = new SafeMap<string, unknown>();
for (let i = 0; i < VIEWS.length; i++) viewOfName.set(VIEWS[i] as string, viewClasses[i]);

export const errorPrototypeOfName = new SafeMap<string, object>();
export const nameOfErrorPrototype = new SafeMap<object, string>();
for (let i = 0; i < ERRORS.length; i++) {
  // The property of a class that is its prototype cannot be changed.
  const prototype = ownValue(errorClasses[i] as object, "prototype") as object;
  errorPrototypeOfName.set(ERRORS[i] as string, prototype);
  nameOfErrorPrototype.set(prototype, ERRORS[i] as string);
}
