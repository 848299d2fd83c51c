/**
 * The engine's own numbers for its kinds of objects, which no guest code can fake, and a proxy shows as what it is. Mirrored
 * by engine/worker/object-classes.ts, where they are checked.
 */
export const ClassId = {
  OBJECT: 1,
  ARRAY: 2,
  ERROR: 3,
  NUMBER: 4,
  STRING: 5,
  BOOLEAN: 6,
  SYMBOL: 7,
  STRICT_ARGUMENTS: 8,
  ARGUMENTS: 9,
  DATE: 10,
  REGEXP: 18,
  ARRAY_BUFFER: 19,
  DATA_VIEW: 33,
  BIGINT: 34,
  MAP: 35,
  SET: 36,
  WEAK_MAP: 37,
  WEAK_SET: 38,
  PROXY: 50,
  PROMISE: 51,
} as const;
