import { beforeEach, describe, expect, test } from "vitest";
import { HeldInstances } from "./held-instances.js";

describe("instances that a worker holds", () => {
  let held: HeldInstances;
  beforeEach(() => {
    held = new HeldInstances();
  });

  test("are held from their first use on, until they are forgotten", () => {
    expect([held.use(1, 0), held.use(1, 1)]).toEqual([false, true]);
    held.forget(1);
    expect([held.count, held.use(1, 2)]).toEqual([0, false]);
  });

  test("are dropped once by the worker, and only where it held them", () => {
    held.use(1, 0);
    held.forget(1);
    held.forget(2);
    expect([held.takeDropped(), held.takeDropped()]).toEqual([[1], []]);
  });

  test("are forgotten when they were not used for long, by their last use", () => {
    for (const [key, now] of [1, 2, 3].entries()) held.use(key, now);
    held.use(0, 10);
    held.forgetUnused(3);
    expect([held.takeDropped(), held.count]).toEqual([[1], 2]);
    held.forgetUnused(3);
    expect(held.takeDropped()).toEqual([]);
  });

  test("are worth a collection when as many are forgotten as stay", () => {
    expect(held.forgetUnused(100)).toBe(false);
    for (const key of [1, 2, 3, 4]) held.use(key, key);
    expect([held.forgetUnused(1), held.forgetUnused(2), held.forgetUnused(4), held.forgetUnused(5)]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });
});
