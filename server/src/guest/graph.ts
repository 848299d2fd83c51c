/** The graph encoding, which carries what JSON cannot. Its codec is a library, loaded at first use. */
import { describeHandleInGraph, holdsHandle, valueOfHandle } from "./handles.js";
import { fromBase64, isPromise, toBase64 } from "./host.js";
import {
  apply,
  bigintToString,
  construct,
  create,
  dateToIso,
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  hasOwnValue,
  indexOf,
  isArray,
  isFiniteNumber,
  jsonParse,
  mapForEach,
  numberToString,
  ObjectPrototype,
  objectKeys,
  ownValue,
  SafeMap,
  setForEach,
  setPrototypeOf,
  slice,
  stringify,
  typedArrayTag,
} from "./intrinsics.js";
import { lazy } from "./libraries.js";
import type { GraphCodec, GraphLibrary } from "./library/graph.js";
import { globalObject } from "./names.js";
import { originals } from "./originals.js";
import { isProxy } from "./proxies.js";

const library = lazy<GraphLibrary>("graph");
let codec: GraphCodec | undefined;

export function graphCodec(): GraphCodec {
  codec ??= library().install(kernelForGraphs());
  return codec;
}

export type GraphKernel = ReturnType<typeof kernelForGraphs>;

/** What a library may use: taken before any guest code ran. */
function kernelForGraphs() {
  return {
    apply,
    bigintToString,
    construct,
    create,
    dateToIso,
    defineProperty,
    deleteProperty,
    describeHandle: describeHandleInGraph,
    fromBase64,
    getOwnPropertyDescriptor,
    getPrototypeOf,
    globalObject,
    hasOwn,
    hasOwnValue,
    holdsHandle,
    indexOf,
    isArray,
    isFiniteNumber,
    isPromise,
    isProxy,
    jsonParse,
    mapForEach,
    numberToString,
    ObjectPrototype,
    objectKeys,
    originals,
    ownValue,
    SafeMap,
    setForEach,
    setPrototypeOf,
    slice,
    stringify,
    toBase64,
    typedArrayTag,
    valueOfHandle,
  };
}
