import { describe, expect, test } from "vitest";
import { CELLS_FOR_NUMBERS } from "./layout.js";
import { Mailbox } from "./mailbox.js";
import type { BatchRequest, GroupRequest, TurnReply, TurnRequest } from "./messages.js";

const TURN: TurnRequest = {
  turn: 2 ** 31 - 1,
  input: { numbers: [2, -1, 0, 1 << 20], text: "h1\ud800π", bytes: [] },
  sources: [],
  budget: 12.5,
  consoleBytes: 65_536,
};
// They count for as long as the server runs.
const GROUP: GroupRequest = { memoryKey: 2 ** 40 + 1, sequence: 2 ** 41 + 3, maximumPages: 1_024, turns: [TURN] };

function requestOf(group: Partial<GroupRequest> = {}, turn: Partial<TurnRequest> = {}): BatchRequest {
  return { drop: [], groups: [{ ...GROUP, turns: [{ ...TURN, ...turn }], ...group }] };
}

const REPLY: TurnReply & { kind: "committed" } = {
  kind: "committed",
  turn: 7,
  startedAt: 1_764_400_000_000.125,
  cpuTime: 0.25,
  effects: { numbers: [1, 7, 1, 2], text: "42", bytes: [] },
  handles: 3,
  heapBytes: 500_000_000,
  nextTimer: -1,
  nextTimerOwner: 0,
  owner: 5,
};

const source = { code: "1", filename: "a.js", isTypeScript: false, bindings: [] };
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const tooMany = Array.from({ length: CELLS_FOR_NUMBERS + 1 }, () => 0);

describe("what is told by the mailbox", () => {
  test("is what was asked", () => {
    const main = new Mailbox();
    const worker = new Mailbox(main.buffer);
    expect(worker.readRequest(main.writeRequest(requestOf()) as string)).toEqual(requestOf());
    const full = requestOf({}, { input: { numbers: tooMany.slice(1).fill(-3), text: "", bytes: [] } });
    expect(worker.readRequest(main.writeRequest(full) as string)).toEqual(full);
  });

  test("is what was answered, whatever is asked next", () => {
    const main = new Mailbox();
    const worker = new Mailbox(main.buffer);
    const text = worker.writeReplies([REPLY]) as string;
    main.writeRequest(requestOf({}, { input: { numbers: tooMany.slice(1).fill(-3), text: "", bytes: [] } }));
    expect(main.readReplies(text)).toEqual([REPLY]);
  });

  test.each<[string, BatchRequest]>([
    ["has to let go of instances", { ...requestOf(), drop: [1] }],
    ["is for several sessions", { drop: [], groups: [GROUP, GROUP] }],
    ["has several turns", requestOf({ turns: [TURN, TURN] })],
    ["brings a memory", requestOf({ memory })],
    ["brings source texts", requestOf({}, { sources: [source] })],
    ["brings bytes", requestOf({}, { input: { ...TURN.input, bytes: [new Uint8Array(1)] } })],
    ["has more numbers than there is room for", requestOf({}, { input: { ...TURN.input, numbers: tooMany } })],
  ])("is no request that %s", (_what, request) => {
    expect(new Mailbox().writeRequest(request)).toBeUndefined();
  });

  test.each<[string, readonly TurnReply[]]>([
    ["are several", [REPLY, REPLY]],
    ["bring bytes", [{ ...REPLY, effects: { ...REPLY.effects, bytes: [new Uint8Array(1)] } }]],
    ["bring more numbers than there is room for", [{ ...REPLY, effects: { ...REPLY.effects, numbers: tooMany } }]],
    [
      "tell that a turn was undone",
      [{ kind: "undone", turn: 7, startedAt: 1, cpuTime: 1, began: true, reason: "trap", message: "", culprit: 0 }],
    ],
  ])("are no replies that %s", (_what, replies) => {
    expect(new Mailbox().writeReplies(replies)).toBeUndefined();
  });
});
