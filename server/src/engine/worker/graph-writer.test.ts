/** That the writers read no more of a value than they may write: what they make of it on the way is not the session's memory. */
import { expect, test } from "vitest";
import { GraphWriter } from "./graph-writer.js";
import {
  CLASS_ARRAY,
  CLASS_MAP,
  CLASS_OBJECT,
  ENUMERABLE,
  FAST_ARRAY,
  JSMapRecord,
  JSMapState,
  JSObject,
  JSShape,
  JSString,
  PROPERTY_FLAGS,
  STRING_ATOM,
  Tag,
} from "./guest-objects.js";
import { GuestValues, NotWritten } from "./guest-values.js";
import type { Instance } from "./instance.js";
import { PlainWriter } from "./plain-writer.js";

const COUNT = 100_000;
const LIMIT = 1_000;
/** Words of what each of these begins at. */
const [ATOMS, NAME, RUNTIME, OBJECT, STATE, RECORD, LENGTH, SHAPE, VALUES] = [10, 20, 30, 40, 60, 70, 90, 100, 300_000];
const layout = { atomsWord: RUNTIME * 4, objectPrototype: 4, arrayPrototype: 8 };

/** A memory of which the first value is an object of so many parts, each of them undefined, or the name of such. */
function memoryOf(classId: number): Int32Array {
  const words = new Int32Array(VALUES + COUNT * 2);
  words.set([OBJECT * 4, Tag.OBJECT]);
  words[OBJECT + JSObject.HEADER] = (classId << 16) | FAST_ARRAY;
  words[OBJECT + JSObject.SHAPE] = SHAPE * 4;
  words[OBJECT + JSObject.PROPERTIES] = (classId === CLASS_ARRAY ? LENGTH : VALUES) * 4;
  words[OBJECT + JSObject.DATA] = STATE * 4;
  words[OBJECT + JSObject.VALUES] = VALUES * 4;
  if (classId === CLASS_ARRAY) words[OBJECT + JSObject.COUNT] = COUNT;
  words[LENGTH] = COUNT;
  for (let i = 0; i < COUNT; i++) words[VALUES + i * 2 + 1] = Tag.UNDEFINED;
  // A map has one record, which comes again and again.
  words[STATE + JSMapState.RECORDS + 1] = RECORD * 4;
  words[STATE + JSMapState.COUNT] = COUNT;
  words[RECORD + 1] = RECORD * 4;
  words[RECORD + JSMapRecord.KEY + 1] = Tag.UNDEFINED;
  words[RECORD + JSMapRecord.VALUE + 1] = Tag.UNDEFINED;
  words[SHAPE + JSShape.PROTOTYPE] = layout.objectPrototype;
  words[SHAPE + JSShape.COUNT] = classId === CLASS_OBJECT ? COUNT : 1;
  for (let i = 0; i < COUNT; i++) words.set([ENUMERABLE << PROPERTY_FLAGS, 1], SHAPE + JSShape.FIRST + i * 2);
  words[RUNTIME] = ATOMS * 4;
  words[ATOMS + 1] = NAME * 4;
  words[NAME + JSString.LENGTH] = 4;
  words[NAME + JSString.ATOM] = STRING_ATOM << 30;
  return words;
}

/** An instance over a memory, and how many of its words were read. */
function counted(words: Int32Array): { instance: Instance; reads: () => number } {
  let reads = 0;
  const watched = new Proxy(words, {
    get(target, key) {
      reads++;
      return target[key as unknown as number];
    },
  });
  return { instance: { words: watched, bytes: Buffer.from(words.buffer) } as unknown as Instance, reads: () => reads };
}

test.each([
  ["an array", CLASS_ARRAY],
  ["a map", CLASS_MAP],
  ["an object", CLASS_OBJECT],
])("of %s as a graph", (_, classId) => {
  const { instance, reads } = counted(memoryOf(classId));
  expect(new GraphWriter(new GuestValues(layout)).write(instance, 0, LIMIT)).toBe(NotWritten.UNKNOWN);
  expect(reads()).toBeLessThan(COUNT / 10);
});

test("of an object as JSON", () => {
  const { instance, reads } = counted(memoryOf(CLASS_OBJECT));
  expect(new PlainWriter(new GuestValues(layout)).write(instance, 0, false, LIMIT)).toBe(NotWritten.UNKNOWN);
  expect(reads()).toBeLessThan(COUNT / 10);
});

test("and nothing is kept of the memory", () => {
  const values = new GuestValues(layout);
  new PlainWriter(values).write(counted(memoryOf(CLASS_OBJECT)).instance, 0, false, LIMIT);
  expect(values.words.length).toBe(0);
});

test("names of properties that are not enumerable, none", () => {
  const words = memoryOf(CLASS_OBJECT);
  for (let i = 0; i < COUNT; i++) words[SHAPE + JSShape.FIRST + i * 2] = 0;
  const bytes = {
    toString: () => {
      throw new Error("a name was read");
    },
  };
  const instance = { words, bytes } as unknown as Instance;
  expect(new PlainWriter(new GuestValues(layout)).write(instance, 0, false, LIMIT)).toBe("{}");
});
