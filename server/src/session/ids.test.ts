import { expect, test } from "vitest";
import { drawId, idOf } from "./ids.js";

test("an id has 128 bits, and no shell takes it for a flag", () => {
  const flagged = Buffer.alloc(32, 0xff);
  // What base64url writes as a dash.
  flagged[0] = 0b1111_1000;
  expect(flagged.toString("base64url")).toMatch(/^-/);
  expect(idOf(flagged)).toMatch(/^_[\w-]{21}$/);
  const ids = Array.from({ length: 2_000 }, drawId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.filter((id) => !/^\w[\w-]{21}$/.test(id))).toEqual([]);
});
