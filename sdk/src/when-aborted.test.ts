import { describe, expect, it } from "vitest";
import { whenAborted } from "./when-aborted.js";

describe("what waits for a signal", () => {
  it("is called once, each as often as it was given, and not when it was taken back", () => {
    const controller = new AbortController();
    const called: string[] = [];
    const twice = (): void => void called.push("twice");
    whenAborted(controller.signal, twice);
    whenAborted(controller.signal, twice);
    const takeBack = whenAborted(controller.signal, () => called.push("taken back"));
    takeBack();
    whenAborted(controller.signal, () => called.push("once"));
    controller.abort();
    controller.abort();
    expect(called).toEqual(["twice", "twice", "once"]);
  });

  it("is not taken back with another, however often that is", () => {
    const controller = new AbortController();
    const called: string[] = [];
    const takeBack = whenAborted(controller.signal, () => called.push("taken back"));
    takeBack();
    whenAborted(controller.signal, () => called.push("later"));
    takeBack();
    controller.abort();
    expect(called).toEqual(["later"]);
  });

  it("is nothing without one", () => {
    expect(() => whenAborted(undefined, () => undefined)()).not.toThrow();
  });
});
