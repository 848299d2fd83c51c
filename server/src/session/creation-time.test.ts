import { describe, expect, test } from "vitest";
import { creationTime } from "./creation-time.js";

describe("the time at which a session is made", () => {
  const start = Date.now() + 1_000_000;

  test("is later than that of the one before, also within a millisecond", () => {
    const times = [start, start, start, start + 1, start + 10].map((now) => creationTime(now));
    expect(times).toEqual([start, start + 1, start + 2, start + 3, start + 10]);
  });

  test("stays by the clock where very many are made at once", () => {
    for (let i = 0; i < 1_000; i++) creationTime(start + 20);
    expect(creationTime(start + 20)).toBe(start + 120);
  });

  test("follows a clock that is set back", () => {
    creationTime(start);
    expect(creationTime(start - 500_000)).toBe(start - 499_900);
    expect(creationTime()).toBeLessThanOrEqual(Date.now() + 100);
  });
});
