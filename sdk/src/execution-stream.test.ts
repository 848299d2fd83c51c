import type { Value } from "@livescope/proto";
import { expect, test, vi } from "vitest";
import type { Execution } from "./execution.js";
import { ExecutionStream, type StreamSink } from "./execution-stream.js";

test("values that cannot be read and that nobody gets to see end no process", async () => {
  const unhandled = vi.fn();
  process.on("unhandledRejection", unhandled);
  const dropped: unknown[] = [];
  const number = (value: number): Value => ({ kind: { $case: "json", value: String(value) } });
  const unreadable: Value = { kind: { $case: "graph", value: "of a kind that is not known here" } };
  let sink: StreamSink | undefined;
  let end: (execution: Execution<unknown>) => void = () => undefined;
  const stream = new ExecutionStream<number>({
    run: (given) => {
      sink = given;
      return new Promise((resolve) => (end = resolve));
    },
    read: ({ kind }) => {
      if (kind?.$case === "json") return Number(kind.value);
      throw new Error("it cannot be read");
    },
    drop: (value) => dropped.push(value),
  });
  try {
    for (const value of [number(1), unreadable, number(2)]) sink?.emitted(value);
    expect(await stream.next()).toEqual({ done: false, value: 1 });
    const left = stream.return();
    for (const value of [unreadable, number(3)]) sink?.emitted(value);
    end({} as Execution<unknown>);
    await left;
    // Node tells of rejections that nobody handles when a tick's promises have all had their turn.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("unhandledRejection", unhandled);
  }
  expect(unhandled).not.toHaveBeenCalled();
  expect(dropped).toEqual([2, 3]);
});

test("a loop that is given a value that cannot be read ends the execution", async () => {
  const cancel = vi.fn();
  const stream = new ExecutionStream<number>({
    run: ({ started, emitted }) => {
      started({ finished: new Promise(() => undefined), wasSent: true, allow: vi.fn(), cancel, giveUp: vi.fn() });
      setImmediate(() => emitted({ kind: { $case: "graph", value: "of a kind that is not known here" } }));
      return new Promise(() => undefined);
    },
    read: () => {
      throw new Error("it cannot be read");
    },
    drop: vi.fn(),
  });
  const read = async (): Promise<void> => {
    for await (const value of stream) expect(value).toBe("never there");
  };
  await expect(read()).rejects.toThrow("it cannot be read");
  expect(cancel).toHaveBeenCalledOnce();
  expect(await stream.next()).toEqual({ done: true, value: undefined });
});
