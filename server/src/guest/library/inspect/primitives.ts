/** Objects that hold a primitive: `[Number: 3]`, `[String: 'abc']`. */
import { answers, bigintOf, booleanOf, numberOf, stringOf, symbolOf } from "./captured.js";
import { quoted, symbolText } from "./text.js";
import { bigintText, numberText } from "./value.js";

interface Boxed {
  readonly text: string;
  /** The characters of a string are its properties too, and not shown again. */
  readonly isString: boolean;
}

/** Undefined for an object that holds none. */
export function boxed(value: object, constructor: string | null, tag: string): Boxed | undefined {
  if (answers(numberOf, value)) return label("Number", numberText(numberOf(value)), constructor, tag);
  if (answers(stringOf, value)) return label("String", quoted(stringOf(value)), constructor, tag);
  if (answers(booleanOf, value)) return label("Boolean", booleanOf(value) ? "true" : "false", constructor, tag);
  if (answers(bigintOf, value)) return label("BigInt", bigintText(bigintOf(value)), constructor, tag);
  if (answers(symbolOf, value)) return label("Symbol", symbolText(symbolOf(value)), constructor, tag);
  return undefined;
}

function label(kind: string, text: string, constructor: string | null, tag: string): Boxed {
  let name = `[${kind}`;
  if (constructor === null) name += " (null prototype)";
  else if (constructor !== kind) name += ` (${constructor})`;
  name += `: ${text}]`;
  if (tag !== "" && tag !== constructor) name += ` [${tag}]`;
  return { text: name, isString: kind === "String" };
}
