/** Answers Inspect: own properties and previews of a value; runs no guest code. */

import { describeHandle } from "../describe-handle.js";
import { inspect, typeName } from "../inspect.js";
import { getOwnPropertyDescriptor, getPrototypeOf, indexOf, ownKeys, slice, stringify } from "../intrinsics.js";
import { symbolToString } from "../methods.js";
import { constantGetters } from "../names.js";
import { plainJson } from "../plain-json.js";
import { hasOwnValue } from "../properties.js";
import { isProxy } from "../proxies.js";

const PREVIEW_LIMIT = 120;
const NAME_LIMIT = 1_000;
const VALUE_LIMIT = 10_000;
/** UTF-16 units of all properties together: an answer has to fit into a message. */
const ANSWER_LIMIT = 1_000_000;
const CHAIN_LIMIT = 100;

/** JSON text `{handle, properties, truncated}`; undefined where the path leads through what only running code could tell. */
export function describeProperties(root: unknown, path: string | undefined, most: number): string | undefined {
  let value: unknown = root;
  let rest = path;
  while (rest !== undefined) {
    const dot = indexOf(rest, ".");
    const name = dot < 0 ? rest : slice(rest, 0, dot);
    rest = dot < 0 ? undefined : slice(rest, dot + 1);
    const descriptor = isObject(value) ? findDescriptor(value, name) : undefined;
    if (descriptor === undefined || isAccessor(descriptor)) return undefined;
    value = valueOfData(descriptor);
  }
  const head = `{"handle":${describeHandle(value, "")},"properties":[`;
  if (!isObject(value) || isProxy(value)) return `${head}],"truncated":false}`;
  const keys = ownKeys(value);
  let text = "";
  let shown = 0;
  while (shown < keys.length && shown < most && text.length < ANSWER_LIMIT) {
    text += `${shown === 0 ? "" : ","}${describeProperty(value, keys[shown] as string | symbol)}`;
    shown++;
  }
  return `${head}${text}],"truncated":${shown < keys.length}}`;
}

function describeProperty(object: object, key: string | symbol): string {
  const descriptor = getOwnPropertyDescriptor(object, key) as PropertyDescriptor;
  const accessor = isAccessor(descriptor);
  const value: unknown = accessor ? undefined : valueOfData(descriptor);
  const isShort = typeof value !== "string" || value.length <= VALUE_LIMIT;
  const json = isObject(value) || accessor || !isShort ? undefined : plainJson(value, true, VALUE_LIMIT * 6);
  const name = typeof key === "symbol" ? symbolToString(key) : key;
  return (
    `{"name":${stringify(slice(name, 0, NAME_LIMIT))},` +
    `"type":"${accessor ? "" : typeName(value)}",` +
    `"preview":${stringify(accessor ? "[Getter]" : inspect(value, PREVIEW_LIMIT, 0))},` +
    `"accessor":${accessor},"enumerable":${descriptor.enumerable === true}` +
    `${json === undefined ? "" : `,"value":${stringify(json)}`}}`
  );
}

function isAccessor(descriptor: PropertyDescriptor): boolean {
  return !hasOwnValue(descriptor) && !(descriptor.get !== undefined && constantGetters.has(descriptor.get));
}

function valueOfData(descriptor: PropertyDescriptor): unknown {
  return hasOwnValue(descriptor) ? descriptor.value : descriptor.get?.();
}

function findDescriptor(value: object, name: string): PropertyDescriptor | undefined {
  let object: object | null = value;
  for (let i = 0; i < CHAIN_LIMIT && object !== null && !isProxy(object); i++) {
    const descriptor = getOwnPropertyDescriptor(object, name);
    if (descriptor !== undefined) return descriptor;
    object = getPrototypeOf(object);
  }
  return undefined;
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}
