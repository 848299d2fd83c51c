/** Whether a copy is as good as the value, with what stands in several places doing so in both. */
import { expect } from "vitest";

export function expectSame(copy: unknown, value: unknown): void {
  expect(copy).toStrictEqual(value);
  expect(sharingOf(copy)).toEqual(sharingOf(value));
}

/** Deep equality does not see it: for each object in the value that is met again, by which paths; in a form that can be compared. */
function sharingOf(value: unknown): string[][] {
  const paths = new Map<object, string[]>();
  const visit = (item: unknown, path: string): void => {
    if (typeof item !== "object" || item === null) return;
    const known = paths.get(item);
    if (known !== undefined) {
      known.push(path);
      return;
    }
    paths.set(item, [path]);
    if (ArrayBuffer.isView(item)) return visit(item.buffer, `${path}.buffer`);
    if (item instanceof Map) {
      let entry = 0;
      for (const [key, held] of item) {
        visit(key, `${path}(key ${entry})`);
        visit(held, `${path}(${entry++})`);
      }
    } else if (item instanceof Set) {
      let entry = 0;
      for (const held of item) visit(held, `${path}(${entry++})`);
    }
    if (item instanceof Error) for (const key of ["cause", "errors"]) visit(Reflect.get(item, key), `${path}.${key}`);
    for (const key of Object.keys(item)) visit(Reflect.get(item, key), `${path}.${key}`);
  };
  visit(value, "");
  return [...paths.values()].filter(({ length }) => length > 1);
}
