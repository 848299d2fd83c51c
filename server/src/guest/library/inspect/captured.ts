/**
 * What the library uses of the realm, given by the kernel, which took it before any guest code ran. The rules of
 * ../../intrinsics.ts hold for all files of this folder; they take everything from here, never from a global.
 */
import type { Captured } from "../../inspect.js";

export let slice: Captured["slice"];
export let indexOf: Captured["indexOf"];
export let stringify: Captured["stringify"];
export let numberToString: Captured["numberToString"];
export let bigintToString: Captured["bigintToString"];
export let symbolToString: Captured["symbolToString"];
export let dateToIso: Captured["dateToIso"];
export let dateValue: Captured["dateValue"];
export let regexpSource: Captured["regexpSource"];
export let regexpFlags: Captured["regexpFlags"];
export let mapSize: Captured["mapSize"];
export let setSize: Captured["setSize"];
export let mapForEach: Captured["mapForEach"];
export let setForEach: Captured["setForEach"];
export let typedArrayTag: Captured["typedArrayTag"];
export let typedArrayLength: Captured["typedArrayLength"];
export let arrayBufferLength: Captured["arrayBufferLength"];
export let getOwnPropertyDescriptor: Captured["getOwnPropertyDescriptor"];
export let getPrototypeOf: Captured["getPrototypeOf"];
export let setPrototypeOf: Captured["setPrototypeOf"];
export let ownKeys: Captured["ownKeys"];
export let classOf: Captured["classOf"];
export let construct: Captured["construct"];
export let isArray: Captured["isArray"];
export let isFiniteNumber: Captured["isFiniteNumber"];
export let isProxy: Captured["isProxy"];
export let isError: Captured["isError"];
export let dataProperty: Captured["dataProperty"];
export let plainJson: Captured["plainJson"];
export let promiseState: Captured["promiseState"];
export let promiseResult: Captured["promiseResult"];
export let SafeMap: Captured["SafeMap"];
export let BytesOf: Captured["natives"]["Uint8Array"];

export let charCodeAt: (text: string, index: number) => number;
export let parseFloatOf: (text: string) => number;
export let functionToString: (value: object) => string;
/** Each throws unless the object is of its class. */
export let numberOf: (value: object) => number;
export let stringOf: (value: object) => string;
export let booleanOf: (value: object) => boolean;
export let bigintOf: (value: object) => bigint;
export let symbolOf: (value: object) => symbol;
export let viewLength: (view: object) => number;
export let viewOffset: (view: object) => number;
export let viewBuffer: (view: object) => object;

export let toStringTag: symbol;

/** To be called once, before anything else of the library. */
export function capture(given: Captured): void {
  ({
    slice,
    indexOf,
    stringify,
    numberToString,
    bigintToString,
    symbolToString,
    dateToIso,
    dateValue,
    regexpSource,
    regexpFlags,
    mapSize,
    setSize,
    mapForEach,
    setForEach,
    typedArrayTag,
    typedArrayLength,
    arrayBufferLength,
    getOwnPropertyDescriptor,
    getPrototypeOf,
    setPrototypeOf,
    ownKeys,
    classOf,
    construct,
    isArray,
    isFiniteNumber,
    isProxy,
    isError,
    dataProperty,
    plainJson,
    promiseState,
    promiseResult,
    SafeMap,
  } = given);
  const { uncurried, natives } = given;
  ({ toStringTag, Uint8Array: BytesOf, parseFloat: parseFloatOf } = natives);
  charCodeAt = uncurried(natives.charCodeAt);
  functionToString = uncurried(natives.functionToString);
  numberOf = uncurried(natives.numberOf);
  stringOf = uncurried(natives.stringOf);
  booleanOf = uncurried(natives.booleanOf);
  bigintOf = uncurried(natives.bigintOf);
  symbolOf = uncurried(natives.symbolOf);
  viewLength = uncurried(natives.viewLength);
  viewOffset = uncurried(natives.viewOffset);
  viewBuffer = uncurried(natives.viewBuffer);
}

/** An array that no setter of the guest can see being filled: `items[items.length] = x` is all one may do with it. */
export function list<T>(): T[] {
  const items: T[] = [];
  setPrototypeOf(items, null);
  return items;
}
