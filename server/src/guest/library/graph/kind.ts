/** What an object is to the graph encoding, found out without running guest code. */
import { domExceptionText } from "../../dom-exceptions.js";
import { isPromise } from "../../host.js";
import {
  apply,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  isArray,
  ObjectPrototype,
  ownValue,
  SafeMap,
  typedArrayTag,
} from "../../intrinsics.js";
import { globalObject } from "../../names.js";
import { isError, methods, prototypes, toStringTag } from "../../originals.js";
import { isProxy } from "../../proxies.js";

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

const kindOfPrototype = new SafeMap<object, string>();
for (let i = 0; i < prototypes.length; i++) {
  kindOfPrototype.set(prototypes[i]?.[0] as object, prototypes[i]?.[1] as string);
}

/**
 * The structured clone algorithm asks for internal slots, which the language does not show. So an object is taken for what
 * its prototypes say, if it answers as such; one whose prototypes say nothing is a plain object.
 */
export function kindOf(value: object): Kind {
  if (typeof value !== "object" || isProxy(value) || value === globalObject) return "live";
  if (isArray(value)) return "Array";
  if (typedArrayTag(value) !== undefined) return "view";
  if (isError(value) || domExceptionText(value) !== undefined) return "Error";
  let proto = getPrototypeOf(value);
  if (proto === ObjectPrototype) return "plain";
  if (proto === null) return isNamespace(value) ? "live" : "nullPrototype";
  for (let i = 0; i < LONGEST_CHAIN && proto !== null && !isProxy(proto); i++) {
    const kind = kindOfPrototype.get(proto);
    if (kind !== undefined) return verified(value, kind);
    proto = getPrototypeOf(proto);
  }
  return "plain";
}

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
  const tag = getOwnPropertyDescriptor(value, toStringTag);
  return tag !== undefined && tag.configurable === false && ownValue(value, toStringTag) === "Module";
}
