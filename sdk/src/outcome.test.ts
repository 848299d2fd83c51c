import { Exception, ExceptionPhase, StopReason, type Value, Execution as WireExecution } from "@livescope/proto";
import { describe, expect, it, vi } from "vitest";
import { calledHere, GuestError, LivescopeError, StoppedError, traceToCaller } from "./errors.js";
import { Preview } from "./handle.js";
import { readOutcome } from "./outcome.js";

type Outcome = NonNullable<WireExecution["outcome"]>;

const execution = (outcome: Outcome): WireExecution => ({
  ...WireExecution.create({
    executionId: "e1",
    console: [{ level: 4, text: "careful", frame: { functionName: "f", filename: "a.js", line: 1, column: 2 } }],
    warnings: [{ message: "hm" }],
    usage: { wallTime: { seconds: 1n, nanos: 250_000 }, turns: 2n, memoryBytes: 3n },
    undone: true,
  }),
  outcome,
});

const thrownBy = (outcome: Outcome): unknown => {
  try {
    return readOutcome(execution(outcome));
  } catch (error) {
    return error;
  }
};

const details = {
  executionId: "e1",
  console: [{ level: "warn", text: "careful", frame: { functionName: "f", filename: "a.js", line: 1, column: 2 } }],
  warnings: [{ message: "hm", frame: undefined }],
  usage: { wallTime: 1000.25, cpuTime: 0, turns: 2, memoryBytes: 3 },
  consoleTruncated: false,
  undone: true,
};

describe("an outcome", () => {
  it("that is a value is the execution", () => {
    const value: Value = { kind: { $case: "json", value: '{"a":1}' } };
    expect(readOutcome(execution({ $case: "value", value }))).toMatchObject({ ...details, value: { a: 1 } });
  });

  it("that is a handle of no session is a preview", () => {
    const handle = { handleId: "", type: "function", className: "Function", preview: "ƒ f()", arity: 0 };
    const { value } = readOutcome(execution({ $case: "value", value: { kind: { $case: "handle", value: handle } } }));
    expect(value).toBeInstanceOf(Preview);
    expect(value).toMatchObject({ type: "function", preview: "ƒ f()" });
  });

  it("that is an exception is a GuestError with its causes", () => {
    const cause = { name: "RangeError", message: "deep", stack: "at x", frames: [] };
    const error = thrownBy({
      $case: "exception",
      value: Exception.create({
        name: "TypeError",
        message: "no",
        stack: "    at bad (main.js:1:20)\n",
        frames: [{ functionName: "bad", filename: "main.js", line: 1, column: 20 }],
        phase: ExceptionPhase.EVALUATE,
        cause,
        errors: [{ name: "Error", message: "first" }],
        thrown: { kind: { $case: "graph", value: "[]" } },
      }),
    });
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({
      ...details,
      name: "GuestError",
      guestName: "TypeError",
      message: "no",
      guestStack: "    at bad (main.js:1:20)\n",
      phase: "EVALUATE",
      thrown: undefined,
    });
    expect((error as GuestError).cause).toBeInstanceOf(GuestError);
    expect((error as GuestError).cause).toMatchObject({ guestName: "RangeError", message: "deep", phase: undefined });
    expect((error as GuestError).cause?.cause).toBeUndefined();
    expect((error as GuestError).errors).toMatchObject([{ guestName: "Error", message: "first", errors: [] }]);
  });

  it("that is an exception without an Error has what was thrown", () => {
    const value = Exception.create({
      message: "{ code: 7 }",
      thrown: { kind: { $case: "json", value: '{"code":7}' } },
    });
    expect(thrownBy({ $case: "exception", value })).toMatchObject({ guestName: "", thrown: { code: 7 } });
  });

  it("that is an exception with a value that cannot be read is a GuestError all the same", () => {
    const thrown = { kind: { $case: "graph", value: '[["Unheard"]]' } } as const;
    const error = thrownBy({ $case: "exception", value: Exception.create({ message: "an odd one", thrown }) });
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({ ...details, message: "an odd one", thrown: undefined });
  });

  it("that is stopped is a StoppedError", () => {
    const error = thrownBy({ $case: "stopped", value: { reason: StopReason.TIMEOUT, message: "200 ms are over" } });
    expect(error).toBeInstanceOf(StoppedError);
    expect(error).toMatchObject({ ...details, reason: "TIMEOUT", message: "200 ms are over" });
    expect(thrownBy({ $case: "stopped", value: { reason: 99 as StopReason, message: "" } })).toMatchObject({
      reason: "UNSPECIFIED",
    });
  });

  it("that is missing is an error of its own", () => {
    expect(() => readOutcome(undefined)).toThrow(LivescopeError);
    expect(() => readOutcome(WireExecution.create())).toThrow("no outcome");
  });
});

describe("a stack", () => {
  it("is made with some calls of a time, and not with all of many", () => {
    vi.useFakeTimers();
    try {
      vi.advanceTimersByTime(100);
      const made = (): number => Array.from({ length: 1000 }, calledHere).filter((each) => each !== undefined).length;
      expect([made(), made()]).toEqual([50, 0]);
      vi.advanceTimersByTime(100);
      expect(made()).toBe(50);
    } finally {
      vi.useRealTimers();
    }
  });

  it("shows the guest's frames and then the caller's", () => {
    const frames = [
      { functionName: "bad", filename: "main.js", line: 1, column: 20 },
      { functionName: "", filename: "main.js", line: 3, column: 0 },
      { functionName: "map", filename: "", line: 0, column: 0 },
    ];
    const value = Exception.create({ name: "TypeError", message: "no\nno", frames });
    const error = thrownBy({ $case: "exception", value }) as GuestError;
    const caller = new Error("called\n    here");
    caller.stack = "Error: called\n    at caller (app.ts:7:1)\n    at app.ts:9:1";
    traceToCaller(error, caller);
    expect(String(error)).toBe("TypeError: no\nno");
    expect(error.stack?.split("\n")).toStrictEqual([
      "TypeError: no",
      "no",
      "    at bad (main.js:1:20)",
      "    at main.js:3",
      "    at map (native)",
      "    at caller (app.ts:7:1)",
      "    at app.ts:9:1",
    ]);
  });

  it("has at least a head line", () => {
    const caller = new Error("called here");
    caller.stack = "";
    const error = new LivescopeError("closed");
    traceToCaller(error, caller);
    expect(error.stack).toBe("LivescopeError: closed");
  });
});
