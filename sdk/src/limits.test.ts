import { describe, expect, it } from "vitest";
import { readDuration, readLimits, writeDuration, writeLimits } from "./limits.js";

describe("a span", () => {
  it.each([
    [1, { seconds: 0n, nanos: 1_000_000 }],
    [1500, { seconds: 1n, nanos: 500_000_000 }],
    [0.1, { seconds: 0n, nanos: 100_000 }],
    [1e-9, { seconds: 0n, nanos: 1 }],
    [999.9999999, { seconds: 1n, nanos: 0 }],
  ])("of %s ms is a Duration", (milliseconds, duration) => {
    expect(writeDuration("timeout", milliseconds)).toStrictEqual(duration);
  });

  it("is read back in milliseconds", () => {
    expect(readDuration({ seconds: 90n, nanos: 250_000 })).toBe(90_000.25);
    expect(readDuration(undefined)).toBe(0);
  });

  it.each([0, -1, Number.NaN, Infinity])("of %s ms is refused", (milliseconds) => {
    expect(() => writeDuration("idleTtl", milliseconds)).toThrow(
      new RegExp(`^idleTtl is ${milliseconds}: give a positive`),
    );
  });
});

describe("limits", () => {
  it("go and come back", () => {
    const limits = {
      memoryBytes: 1,
      timeout: 2,
      cpuTime: 3,
      consoleBytes: 4,
      valueBytes: 5,
      handles: 6,
      queuedExecutions: 7,
    };
    expect(readLimits(writeLimits(limits))).toStrictEqual(limits);
    expect(writeLimits({})).toMatchObject({ memoryBytes: 0n, timeout: undefined });
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 60])("that are %s bytes are refused", (memoryBytes) => {
    expect(() => writeLimits({ memoryBytes })).toThrow(RangeError);
  });
});
