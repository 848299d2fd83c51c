/** For libraries: the methods of natives.ts as functions that take `this` first. */
import { apply } from "./intrinsics.js";
import * as native from "./natives.js";
import { uncurried } from "./uncurried.js";

export { typedArrayTag } from "./intrinsics.js";
export { BytesOf, parseFloatOf, parseIntOf, regexpExec, stringFrom } from "./natives.js";

export const charCodeAt = uncurried<(text: string, index: number) => number>(native.charCodeAt);
export const toLowerCase = uncurried<(text: string) => string>(native.toLowerCase);
export const toWellFormed = uncurried<(text: string) => string>(native.toWellFormed);
export const bigintToString = uncurried<(value: bigint) => string>(native.bigintToString);
export const symbolToString = uncurried<(value: symbol) => string>(native.symbolToString);
export const dateToIso = uncurried<(value: object) => string>(native.dateToIso);
export const dateValue = uncurried<(value: object) => number>(native.dateValue);
export const regexpSource = uncurried<(value: object) => string>(native.regexpSource);
export const mapSize = uncurried<(value: object) => number>(native.mapSize);
export const setSize = uncurried<(value: object) => number>(native.setSize);
export const mapForEach = uncurried<(map: object, visit: (value: unknown, key: unknown) => void) => void>(
  native.mapForEach,
);
export const setForEach = uncurried<(set: object, visit: (value: unknown) => void) => void>(native.setForEach);
export const typedArrayLength = uncurried<(value: object) => number>(native.typedArrayLength);
export const arrayBufferLength = uncurried<(value: object) => number>(native.arrayBufferLength);
export const viewLength = uncurried<(view: object) => number>(native.viewLength);
export const viewOffset = uncurried<(view: object) => number>(native.viewOffset);
export const viewBuffer = uncurried<(view: object) => object>(native.viewBuffer);
export const functionToString = uncurried<(value: object) => string>(native.functionToString);
// Each throws unless the object is of its class.
export const numberOf = uncurried<(value: object) => number>(native.numberOf);
export const stringOf = uncurried<(value: object) => string>(native.stringOf);
export const booleanOf = uncurried<(value: object) => boolean>(native.booleanOf);
export const bigintOf = uncurried<(value: object) => bigint>(native.bigintOf);
export const symbolOf = uncurried<(value: object) => symbol>(native.symbolOf);

/** The getter `flags` would ask for each of them by name, and find what guest code put there. */
export function regexpFlags(value: object): string {
  let flags = "";
  for (let i = 0; i < native.FLAGS.length; i++) {
    const get = native.flagGetters[i];
    if (get !== undefined && apply(get, value, []) === true) flags += native.FLAGS[i];
  }
  return flags;
}
