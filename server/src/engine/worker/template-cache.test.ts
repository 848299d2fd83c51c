import { expect, test } from "vitest";
import { TemplateCache } from "./template-cache.js";

const requestOf = (text: string, templates: Record<string, string> = {}): string =>
  JSON.stringify(["t.html", text, [], true, false, Object.entries(templates)]);

test("what was compiled lately is kept", () => {
  const cache = new TemplateCache();
  const first = cache.compile(requestOf("{{ a }}"));
  expect(cache.compile(requestOf("{{ b }}"))).not.toBe(first);
  expect(cache.compile(requestOf("{{ a }}"))).toBe(first);
});

test("few templates that become much code take the place of others", () => {
  const cache = new TemplateCache();
  const first = cache.compile(requestOf("{{ a }}"));
  const templates = { icon: "x".repeat(5_000) };
  for (let i = 0; i < 20; i++) cache.compile(requestOf(`${i}${"{% include icon %}".repeat(180)}`, templates));
  expect(cache.compile(requestOf("{{ a }}"))).not.toBe(first);
});

test("so do few that consist of very many parts", () => {
  const cache = new TemplateCache();
  const first = cache.parse("{{ a }}");
  expect(cache.parse("{{ a }}")).toBe(first);
  for (let i = 0; i < 20; i++) cache.parse(`${i}${"{{a}}".repeat(20_000)}`);
  expect(cache.parse("{{ a }}")).not.toBe(first);
});

test("one that is larger than all that may be kept takes nobody's place", () => {
  const cache = new TemplateCache();
  const first = cache.compile(requestOf("{{ a }}"));
  const large = requestOf("x".repeat(9_000_000));
  expect(cache.compile(large)).not.toBe(cache.compile(large));
  expect(cache.compile(requestOf("{{ a }}"))).toBe(first);
});
