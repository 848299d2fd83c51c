/** Reads what is to be rendered out of an input; and the named templates of the session, which inputs add to. */
import { jsonParse, SafeMap } from "../../intrinsics.js";
import { readNumber, readOptionalText } from "../../protocol.js";
import { readText } from "../../read-text.js";
import { list } from "./list.js";

/** Texts of named templates. */
export const templates = new SafeMap<string, string>();

/** A template to be rendered. */
export interface RenderRequest {
  /** Undefined for a template that the session knows by its name. */
  readonly source: string | undefined;
  readonly name: string;
  readonly escapes: boolean;
  readonly streams: boolean;
  /** Of the context, by the same index. */
  readonly names: readonly string[];
  readonly values: readonly unknown[];
  /** The most UTF-16 units of its text. */
  readonly most: number;
}

const ESCAPES = 1;
const STREAMS = 2;

/**
 * Reads what is to be rendered, and adds the templates that came with it to the session's.
 *
 * @param readValue reads a value of the input
 * @param refuse throws: the session has no template of this name
 */
export function readRenderRequest(
  most: number,
  readValue: (field: string) => unknown,
  refuse: (name: string) => never,
): RenderRequest {
  const flags = readNumber();
  const sourceText = readOptionalText();
  const name = readText();
  const added = readPairs(readText);
  const context = readPairs((key) => readValue(`context[${key}]`));
  let isKnown = sourceText !== undefined || templates.has(name);
  for (let i = 0; i < added.names.length; i++) isKnown ||= added.names[i] === name;
  if (!isKnown) refuse(name);
  for (let i = 0; i < added.names.length; i++) {
    templates.set(added.names[i] as string, jsonParse(added.values[i] as string) as string);
  }
  return {
    source: sourceText === undefined ? undefined : (jsonParse(sourceText) as string),
    name,
    escapes: (flags & ESCAPES) !== 0,
    streams: (flags & STREAMS) !== 0,
    names: context.names,
    values: context.values,
    most,
  };
}

function readPairs<T>(readValue: (name: string) => T): { readonly names: string[]; readonly values: T[] } {
  const names = list<string>();
  const values = list<T>();
  for (let count = readNumber(), i = 0; i < count; i++) {
    names[i] = readText();
    values[i] = readValue(names[i] as string);
  }
  return { names, values };
}
