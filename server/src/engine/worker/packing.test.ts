import { expect, test } from "vitest";
import type { BatchRequest, TurnReply } from "./messages.js";
import { packBatch, packReplies, unpackBatch, unpackReplies } from "./packing.js";

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const input = { numbers: [1, -1, 2 ** 31], text: "text\nand more", bytes: [new Uint8Array([1, 2]), new Uint8Array()] };

test("a batch comes out as it went in", () => {
  const turn = { turn: 7, input, budget: 10.25, consoleBytes: 100, sources: [] };
  const sources = [
    { code: "a", filename: "a.js", isTypeScript: true, bindings: ["x", "y"] },
    { code: "", filename: "", isTypeScript: false, bindings: [] },
  ];
  const batch: BatchRequest = {
    drop: [3, 4],
    groups: [
      { memoryKey: 1, sequence: 2, maximumPages: 100, turns: [turn, { ...turn, turn: 8, sources }] },
      {
        memoryKey: 2,
        sequence: 1,
        maximumPages: 100,
        memory,
        turns: [{ ...turn, input: { numbers: [], text: "", bytes: [] } }],
      },
    ],
  };
  expect(unpackBatch(structuredClone(packBatch(batch)))).toStrictEqual(batch);
  expect(unpackBatch(packBatch({ drop: [], groups: [] }))).toStrictEqual({ drop: [], groups: [] });
});

test("replies come out as they went in", () => {
  const common = { turn: 7, startedAt: 1e12 + 0.5, cpuTime: 0.25 };
  const undone = { kind: "undone", began: true, reason: "memory", message: "m", culprit: 3 } as const;
  const replies: TurnReply[] = [
    { ...common, kind: "committed", effects: input, handles: 1, heapBytes: 2, nextTimer: -1, owner: 4 },
    { ...common, ...undone },
    { ...common, ...undone, memory },
  ];
  expect(unpackReplies(packReplies(replies))).toStrictEqual(replies);
});
