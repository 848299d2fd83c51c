/** What an object is to the graph encoding, found out without running guest code. */
import type { GraphKernel } from "../../graph.js";

export type Kind =
  | "plain"
  | "nullPrototype"
  | "Array"
  | "Error"
  | "view"
  /** Cannot be copied: it travels as a handle. */
  | "live"
  | "Date"
  | "RegExp"
  | "Map"
  | "Set"
  | "ArrayBuffer"
  | "DataView"
  | "Number"
  | "String"
  | "Boolean"
  | "BigInt";

const LONGEST_CHAIN = 100;

/**
 * The structured clone algorithm asks for internal slots, which the language does not show. So an object is taken for what
 * its prototypes say, if it answers as such; one whose prototypes say nothing is a plain object.
 */
export function createClassifier(kernel: GraphKernel): (value: object) => Kind {
  const { apply, getPrototypeOf, globalObject, isArray, isPromise, isProxy, ObjectPrototype, originals, ownValue } =
    kernel;
  const { isError, methods, prototypes } = originals;
  const known = new kernel.SafeMap<object, string>();
  for (let i = 0; i < prototypes.length; i++) known.set(prototypes[i]?.[0] as object, prototypes[i]?.[1] as string);

  function verified(value: object, kind: string): Kind {
    if (kind === "live") return "live";
    if (kind === "Promise") return isPromise(value) ? "live" : "plain";
    try {
      apply(methods[kind as keyof typeof methods], value, []);
    } catch {
      return "plain";
    }
    return kind === "Symbol" ? "live" : (kind as Kind);
  }

  /** A module's exports are live bindings; of all objects without prototype only these have such a tag. */
  function isNamespace(value: object): boolean {
    const tag = kernel.getOwnPropertyDescriptor(value, originals.toStringTag);
    return tag !== undefined && tag.configurable === false && ownValue(value, originals.toStringTag) === "Module";
  }

  return (value) => {
    if (typeof value !== "object" || isProxy(value) || value === globalObject) return "live";
    if (isArray(value)) return "Array";
    if (kernel.typedArrayTag(value) !== undefined) return "view";
    if (isError(value)) return "Error";
    let proto = getPrototypeOf(value);
    if (proto === ObjectPrototype) return "plain";
    if (proto === null) return isNamespace(value) ? "live" : "nullPrototype";
    for (let i = 0; i < LONGEST_CHAIN && proto !== null && !isProxy(proto); i++) {
      const kind = known.get(proto);
      if (kind !== undefined) return verified(value, kind);
      proto = getPrototypeOf(proto);
    }
    return "plain";
  };
}
