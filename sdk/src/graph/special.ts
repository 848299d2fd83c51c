/** Numbers that stand for values in place of an index; see docs/protocol.md, Graphs. */
export const Special = {
  UNDEFINED: -1,
  HOLE: -2,
  NAN: -3,
  INFINITY: -4,
  NEGATIVE_INFINITY: -5,
  NEGATIVE_ZERO: -6,
  /** First element of an array that says which of its elements there are. */
  SPARSE: -7,
} as const;

/** Classes of views of an ArrayBuffer by name. */
export const viewNames: ReadonlySet<string> = new Set([
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
]);

/** Classes of errors that a graph names as such; InternalError is the engine's own. */
export const errorNames: ReadonlySet<string> = new Set([
  "Error",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  "AggregateError",
  "InternalError",
]);
