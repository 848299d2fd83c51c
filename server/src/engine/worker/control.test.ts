import { describe, expect, test } from "vitest";
import { Control } from "./control.js";

describe("the end of a turn", () => {
  test("belongs to the worker that finishes first", () => {
    const control = new Control();
    control.begin(7);
    expect(control.finish(7)).toBe(true);
    expect(control.condemn(7)).toBe(false);
  });

  test("belongs to the main thread that condemns first", () => {
    const control = new Control();
    control.begin(7);
    expect(control.condemn(7)).toBe(true);
    expect(control.finish(7)).toBe(false);
  });

  test("has a checkpoint only once the worker took it", () => {
    const control = new Control();
    control.begin(1);
    expect(control.checkpoint).toBeUndefined();
    control.started({ heapEnd: 3_000_000_000, memoryBytes: 4_000_000_000 }, 5);
    expect(control.checkpoint).toEqual({ heapEnd: 3_000_000_000, memoryBytes: 4_000_000_000 });
    control.begin(2);
    expect(control.checkpoint).toBeUndefined();
  });

  test("is asked for by turn number, so that a late request does not hit the next turn", () => {
    const control = new Control();
    control.begin(1);
    control.requestStop(1);
    expect(control.stopRequested(1)).toBe(true);
    control.begin(2);
    expect(control.stopRequested(2)).toBe(false);
  });
});
