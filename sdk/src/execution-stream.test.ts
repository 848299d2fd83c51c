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
