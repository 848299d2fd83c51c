/** Reads properties without running anything; for libraries. */
import { getOwnPropertyDescriptor, hasOwnValue } from "./intrinsics.js";

/** Text that is safe to read as an own property whatever the key is. */
export function ownValue(object: object, key: PropertyKey): unknown {
  const descriptor = getOwnPropertyDescriptor(object, key);
  return descriptor === undefined ? undefined : hasOwnValue(descriptor) ? descriptor.value : undefined;
}
