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
    expect(control.turn).toBeUndefined();
    control.checkpointed({ heapEnd: 3_000_000_000, memoryBytes: 4_000_000_000 }, 5);
    expect(control.startedAt).toBe(5);
    expect(control.turn).toBe(1);
    expect(control.checkpoint).toEqual({ heapEnd: 3_000_000_000, memoryBytes: 4_000_000_000 });
    control.begin(2);
    expect(control.checkpoint).toBeUndefined();
  });

  test("has none between the collection of garbage and its own, and the one before until then", () => {
    const control = new Control();
    control.begin(1);
    control.checkpointed({ heapEnd: 10, memoryBytes: 20 }, 5);
    control.beginCollection();
    expect([control.isCollecting, control.checkpoint?.heapEnd]).toEqual([true, 10]);
    control.collected();
    expect([control.isCollecting, control.checkpoint?.heapEnd]).toEqual([true, undefined]);
    control.endCollection({ heapEnd: 8, memoryBytes: 20 }, 7);
    expect([control.isCollecting, control.checkpoint?.heapEnd, control.startedAt]).toEqual([false, 8, 7]);
    control.beginCollection();
    control.begin(2);
    expect(control.isCollecting).toBe(false);
  });

  test("is asked for by place in the group, so that a late request does not hit the next group", () => {
    const control = new Control();
    control.begin(1);
    control.requestStop(0);
    control.requestStop(29);
    expect([0, 1, 28, 29].map((place) => control.stopRequested(place))).toEqual([true, false, false, true]);
    control.begin(31);
    expect(control.stopRequested(0)).toBe(false);
  });

  test("is refused to a worker that was condemned between two turns", () => {
    const control = new Control();
    control.begin(1);
    expect(control.start(1, 1, 0)).toBe(true);
    expect(control.condemn(1)).toBe(true);
    expect(control.start(2, 1, 0)).toBe(false);
  });
});

describe("the groups of a batch", () => {
  test("are the worker's once begun, and go back to the main thread all together", () => {
    const control = new Control();
    control.begin(1);
    expect(control.takeBack()).toBeUndefined();
    expect(control.beginGroup(0)).toBe(true);
    expect(control.beginGroup(1)).toBe(true);
    expect(control.takeBack()).toBe(2);
    expect(control.beginGroup(2)).toBe(false);
    expect(control.takeBack()).toBeUndefined();
    control.begin(9);
    expect(control.beginGroup(0)).toBe(true);
  });
});
