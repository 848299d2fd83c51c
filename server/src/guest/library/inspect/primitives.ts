/** Objects that hold a primitive: `[Number: 3]`, `[String: 'abc']`. */
import { ClassId } from "../../classes.js";
import { bigintOf, booleanOf, numberOf, stringOf, symbolOf } from "./captured.js";
import { quoted, symbolText } from "./text.js";
import { bigintText, numberText } from "./value.js";

/** Undefined for an object that holds none. @param classId the engine's class of it */
export function boxed(value: object, classId: number, className: string | null, tag: string): string | undefined {
  switch (classId) {
    case ClassId.NUMBER:
      return label("Number", numberText(numberOf(value)), className, tag);
    case ClassId.STRING:
      return label("String", quoted(stringOf(value)), className, tag);
    case ClassId.BOOLEAN:
      return label("Boolean", booleanOf(value) ? "true" : "false", className, tag);
    case ClassId.BIGINT:
      return label("BigInt", bigintText(bigintOf(value)), className, tag);
    case ClassId.SYMBOL:
      return label("Symbol", symbolText(symbolOf(value)), className, tag);
    default:
      return undefined;
  }
}

function label(kind: string, text: string, className: string | null, tag: string): string {
  let name = `[${kind}`;
  if (className === null) name += " (null prototype)";
  else if (className !== kind) name += ` (${className})`;
  name += `: ${text}]`;
  if (tag !== "" && tag !== className) name += ` [${tag}]`;
  return name;
}
