/** Values as the corpus of hostile programs writes them, where JSON cannot say them: `{"$": "bigint", "v": "1"}`. */
import { Handle } from "@livescope/sdk";
import { expect } from "vitest";

interface Marked {
  readonly $: string;
  readonly v?: unknown;
  readonly kind?: string;
}

function isMarked(value: unknown): value is Marked {
  return typeof value === "object" && value !== null && "$" in value;
}

/** The value that the corpus means where it gives an argument. */
export function argumentOf(value: unknown): unknown {
  if (isMarked(value) && value.$ === "rawmap") return meantBy(value.v);
  return meantBy(value);
}

/** The value that the corpus means, for what JSON cannot say. */
function meantBy(text: unknown): unknown {
  if (isMarked(text)) return markedValue(text);
  if (Array.isArray(text)) return text.map(meantBy);
  if (typeof text !== "object" || text === null) return text;
  const value = {};
  for (const [name, item] of Object.entries(text)) {
    const key = name === "__proto__own" ? "__proto__" : name;
    Object.defineProperty(value, key, { value: meantBy(item), enumerable: true, writable: true, configurable: true });
  }
  return value;
}

function markedValue({ $, v }: Marked): unknown {
  switch ($) {
    case "undefined":
      return undefined;
    case "number":
      return v === "-0" ? -0 : Number(v);
    case "bigint":
      return BigInt(String(v));
    case "date":
      return new Date(v as string | number);
    case "bytes":
      return new Uint8Array(Buffer.from(String(v), "hex"));
    case "wtf":
      return String.fromCharCode(...(String(v).match(/.{4}/g) ?? []).map((unit) => Number.parseInt(unit, 16)));
    default:
      throw new Error(`the corpus says ${$}, which is not known here`);
  }
}

/** Fails the test unless the value is the one that the corpus wants. */
export function expectWanted(value: unknown, want: unknown): void {
  expect(value).toStrictEqual(withHandles(want, value));
}

/** What is wanted, with each handle of the kind that is wanted in its place. */
function withHandles(want: unknown, value: unknown): unknown {
  if (isMarked(want) && want.$ === "handle") {
    expect(value).toBeInstanceOf(Handle);
    expect((value as Handle).type).toBe(want.kind);
    return value;
  }
  if (isMarked(want) || typeof want !== "object" || want === null) return meantBy(want);
  const held = (key: string): unknown =>
    typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  if (Array.isArray(want)) return want.map((item, i) => withHandles(item, held(String(i))));
  const names = Object.keys(want);
  return names.some((name) => name === "__proto__own")
    ? meantBy(want)
    : Object.fromEntries(names.map((name) => [name, withHandles(Reflect.get(want, name), held(name))]));
}
