import { expect, test } from "vitest";
import { SourceCache } from "./source-cache.js";

const made = (length = 0): object => ({ source: "x".repeat(length) });

test("what was compiled lately is kept", () => {
  const cache = new SourceCache<object>();
  const first = cache.get("a", made);
  expect(cache.get("b", made)).not.toBe(first);
  expect(cache.get("a", made)).toBe(first);
});

test("few sources that become much code take the place of others", () => {
  const cache = new SourceCache<object>();
  const first = cache.get("a", made);
  for (let i = 0; i < 20; i++) cache.get(`${i}`, () => made(1_000_000));
  expect(cache.get("a", made)).not.toBe(first);
});

test("one that is too long to be kept takes nobody's place", () => {
  const cache = new SourceCache<object>();
  const first = cache.get("0", made);
  for (let i = 1; i < 1_000; i++) cache.get(`${i}`, made);
  cache.get("x".repeat(100_000), made);
  expect(cache.get("0", made)).toBe(first);
});

test("that nothing has to change is kept as well", () => {
  const cache = new SourceCache<undefined>();
  let compilations = 0;
  const compile = (): undefined => void compilations++;
  for (let i = 0; i < 3; i++) cache.get("a", compile);
  expect(compilations).toBe(1);
});
