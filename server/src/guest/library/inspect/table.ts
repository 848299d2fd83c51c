/** `console.table`: rows and columns in a box. */
import { ClassId } from "../../classes.js";
import { Box } from "./box.js";
import {
  classOf,
  getOwnPropertyDescriptor,
  isArray,
  isProxy,
  list,
  mapForEach,
  ownKeys,
  SafeMap,
  setForEach,
  slice,
  typedArrayTag,
} from "./captured.js";
import { Context } from "./context.js";
import { isData } from "./names.js";
import { render } from "./value.js";

const MAXIMUM_ROWS = 1_000;
const MAXIMUM_COLUMNS = 100;
const CELL_LIMIT = 1_000;
/** Items of a list that a cell shows; and properties beyond which an object that is no list is not opened. */
const CELL_ITEMS = 3;
const CELL_PROPERTIES = 2;

/** Columns in the order in which an object has its keys: indices first, then the others as they were first met. */
class Columns {
  readonly #cells = new SafeMap<string, string[]>();
  readonly #order = { __proto__: null } as unknown as Record<string, true>;

  get names(): readonly string[] {
    return ownKeys(this.#order) as string[];
  }

  set(name: string, row: number, text: string): void {
    let column = this.#cells.get(name);
    if (column === undefined) {
      if (this.#cells.size >= MAXIMUM_COLUMNS) return;
      column = list<string>();
      this.#order[name] = true;
      this.#cells.set(name, column);
    }
    while (column.length < row) column[column.length] = "";
    column[row] = text;
  }

  of(name: string, rows: number): string[] {
    const column = this.#cells.get(name) ?? list<string>();
    while (column.length < rows) column[column.length] = "";
    return column;
  }
}

/**
 * The table of a list, an object, a map or a set; undefined for what has no rows.
 *
 * @param only names of the columns to be shown, an array of the guest's; anything else: all that there are
 * @param limit UTF-16 units of cells after which no more is shown
 */
export function table(data: unknown, only: unknown, limit: number): string | undefined {
  if (typeof data !== "object" || data === null || isProxy(data)) return undefined;
  const classId = classOf(data);
  if (classId === ClassId.MAP) return mapTable(data, limit);
  if (classId === ClassId.SET) return setTable(data, limit);
  const filter = stringsOf(only);
  const heads = list<string>();
  const values = list<string>();
  const columns = new Columns();
  let hasValues = false;
  let spent = 0;
  if (filter !== undefined) for (let i = 0; i < filter.length; i++) columns.set(filter[i] as string, 0, "");
  const keys = enumerableKeys(data);
  for (let row = 0; row < keys.length && spent <= limit; row++) {
    const key = keys[row] as string;
    const property = getOwnPropertyDescriptor(data, key);
    const value = dataOf(property);
    heads[row] = key;
    values[row] = "";
    const isOpened = (typeof value === "object" && value !== null) || typeof value === "function";
    if (!isOpened || isProxy(value)) {
      if (filter !== undefined) continue;
      values[row] = hasGetter(property) ? "[Getter]" : cell(value);
      hasValues = true;
      spent += (values[row] as string).length;
      continue;
    }
    const names = filter ?? enumerableKeys(value);
    for (let i = 0; i < names.length && spent <= limit; i++) {
      const name = names[i] as string;
      const descriptor = getOwnPropertyDescriptor(value, name);
      if (descriptor === undefined) continue;
      const text = isData(descriptor) ? cell(descriptor.value) : "[Getter]";
      columns.set(name, row, text);
      spent += text.length;
    }
  }
  const box = new Box();
  box.addColumn("(index)", heads);
  const { names } = columns;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    box.addColumn(name, columns.of(name, heads.length));
  }
  if (hasValues) box.addColumn("Values", values);
  return box.draw(heads.length);
}

function mapTable(map: object, limit: number): string {
  const keys = list<string>();
  const values = list<string>();
  let spent = 0;
  mapForEach(map, (item, key) => {
    const row = keys.length;
    if (row >= MAXIMUM_ROWS || spent > limit) return;
    keys[row] = cell(key);
    values[row] = cell(item);
    spent += (keys[row] as string).length + (values[row] as string).length;
  });
  const box = new Box();
  box.addColumn("(iteration index)", numbers(keys.length));
  box.addColumn("Key", keys);
  box.addColumn("Values", values);
  return box.draw(keys.length);
}

function setTable(set: object, limit: number): string {
  const values = list<string>();
  let spent = 0;
  setForEach(set, (item) => {
    const row = values.length;
    if (row >= MAXIMUM_ROWS || spent > limit) return;
    values[row] = cell(item);
    spent += (values[row] as string).length;
  });
  const box = new Box();
  box.addColumn("(iteration index)", numbers(values.length));
  box.addColumn("Values", values);
  return box.draw(values.length);
}

function numbers(count: number): string[] {
  const texts = list<string>();
  for (let i = 0; i < count; i++) texts[i] = `${i}`;
  return texts;
}

/** A cell is one line, however large its value. */
function cell(value: unknown): string {
  const context = new Context(isLarge(value) ? -1 : 0, CELL_LIMIT, false, true, CELL_ITEMS);
  const text = render(context, value, 0);
  return text.length > CELL_LIMIT ? `${slice(text, 0, CELL_LIMIT)}…` : text;
}

function isLarge(value: unknown): boolean {
  if (typeof value !== "object" || value === null || isProxy(value)) return false;
  if (isArray(value) || typedArrayTag(value) !== undefined) return false;
  return enumerableKeys(value).length > CELL_PROPERTIES;
}

function dataOf(descriptor: PropertyDescriptor | undefined): unknown {
  return descriptor !== undefined && isData(descriptor) ? descriptor.value : undefined;
}

function hasGetter(descriptor: PropertyDescriptor | undefined): boolean {
  return descriptor !== undefined && !isData(descriptor) && descriptor.get !== undefined;
}

function enumerableKeys(value: object): string[] {
  const keys = list<string>();
  const all = ownKeys(value);
  for (let i = 0; i < all.length && keys.length < MAXIMUM_ROWS; i++) {
    const key = all[i] as string | symbol;
    if (typeof key === "string" && getOwnPropertyDescriptor(value, key)?.enumerable === true) keys[keys.length] = key;
  }
  return keys;
}

function stringsOf(only: unknown): string[] | undefined {
  if (typeof only !== "object" || only === null || isProxy(only) || !isArray(only)) return undefined;
  const names = list<string>();
  for (let i = 0; i < only.length && i < MAXIMUM_COLUMNS; i++) {
    const name = dataOf(getOwnPropertyDescriptor(only, `${i}`));
    if (typeof name === "string") names[names.length] = name;
  }
  return names;
}
