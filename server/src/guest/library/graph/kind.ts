/** What an object is to the graph encoding. */
import { ClassId } from "../../classes.js";
import { domExceptionText } from "../../dom-exceptions.js";
import { classOf } from "../../host-asks.js";
import { getPrototypeOf } from "../../intrinsics.js";
import { typedArrayTag } from "../../methods.js";
import { globalObject } from "../../names.js";

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

/**
 * As the structured clone algorithm sees it: by what the engine made the object as, whatever its prototype says. What that
 * algorithm has no rule for is live, iterators, promises and proxies among it.
 */
export function kindOf(value: object): Kind {
  if (typeof value !== "object" || value === globalObject) return "live";
  switch (classOf(value)) {
    case ClassId.OBJECT:
      if (domExceptionText(value) !== undefined) return "Error";
      return getPrototypeOf(value) === null ? "nullPrototype" : "plain";
    case ClassId.ARGUMENTS:
    case ClassId.STRICT_ARGUMENTS:
      return "plain";
    case ClassId.ARRAY:
      return "Array";
    case ClassId.ERROR:
      return "Error";
    case ClassId.DATE:
      return "Date";
    case ClassId.REGEXP:
      return "RegExp";
    case ClassId.MAP:
      return "Map";
    case ClassId.SET:
      return "Set";
    case ClassId.ARRAY_BUFFER:
      return "ArrayBuffer";
    case ClassId.DATA_VIEW:
      return "DataView";
    case ClassId.NUMBER:
      return "Number";
    case ClassId.STRING:
      return "String";
    case ClassId.BOOLEAN:
      return "Boolean";
    case ClassId.BIGINT:
      return "BigInt";
    default:
      return typedArrayTag(value) === undefined ? "live" : "view";
  }
}
