/** The engine's numbers for its kinds of objects: where they stand, and a check of those that the guest relies on. */
import { EngineAbort, type Instance } from "./instance.js";

/** `JSObject.class_id`, 16 bits. */
const CLASS_ID_OFFSET = 6;

/** An expression for each kind that guest/classes.ts names, and its number. */
const CLASSES: readonly (readonly [source: string, id: number])[] = [
  ["{}", 1],
  ["[]", 2],
  ["new RangeError", 3],
  ["new Number", 4],
  ["new String", 5],
  ["new Boolean", 6],
  ["Object(Symbol())", 7],
  ["(function(){'use strict';return arguments})()", 8],
  ["(function(){return arguments})()", 9],
  ["new Date", 10],
  ["/x/", 18],
  ["new ArrayBuffer(1)", 19],
  ["new DataView(new ArrayBuffer(1))", 33],
  ["Object(1n)", 34],
  ["new Map", 35],
  ["new Set", 36],
  ["new WeakMap", 37],
  ["new WeakSet", 38],
  ["new Proxy({},{})", 50],
  ["(async()=>{})()", 51],
];

/** @param value address of a `JSValue` that holds an object */
export function classIdOf(instance: Instance, value: number): number {
  const object = instance.words[value >> 2] ?? 0;
  return instance.bytes.readUInt16LE(object + CLASS_ID_OFFSET);
}

/** @param evaluate gives an owned `JSValue*` */
export function checkObjectClasses(instance: Instance, context: number, evaluate: (source: string) => number): void {
  for (const [source, id] of CLASSES) {
    const value = evaluate(`(${source})`);
    const found = classIdOf(instance, value);
    instance.exports.QTS_FreeValuePointer(context, value);
    if (found !== id) throw new EngineAbort(`calibration failed: ${source} has class ${found}, expected ${id}`);
  }
}
