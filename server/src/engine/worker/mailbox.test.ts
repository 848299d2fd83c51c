import { describe, expect, test } from "vitest";
import { CELLS_FOR_NUMBERS } from "./layout.js";
import { Mailbox } from "./mailbox.js";
import { type BatchRequest, type GroupRequest, MAXIMUM_BATCH, type TurnReply, type TurnRequest } from "./messages.js";

const TURN: TurnRequest = {
  turn: 2 ** 31 - 1,
  input: { numbers: [2, -1, 0, 1 << 20], text: "h1\ud800π", strings: [1, 2], bytes: [] },
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

/** As many as may be, each of a turn, and with all the numbers that there is room for. */
const FULL: BatchRequest = {
  drop: [],
  groups: Array.from({ length: MAXIMUM_BATCH }, (_, i) => ({
    ...GROUP,
    memoryKey: i,
    turns: [
      {
        ...TURN,
        turn: i,
        input: { numbers: tooMany.slice(1).fill(i), text: `${i}π`, strings: tooMany.slice(1), bytes: [] },
      },
    ],
  })),
};

function bothEnds(): { main: Mailbox; worker: Mailbox } {
  const main = new Mailbox();
  return { main, worker: new Mailbox(main.buffer) };
}

describe("what is told by the mailbox", () => {
  test.each<[string, BatchRequest]>([
    ["of one turn", requestOf()],
    ["without text", requestOf({}, { input: { ...TURN.input, text: "" } })],
    ["of several turns", requestOf({ turns: [TURN, { ...TURN, turn: 3, input: { ...TURN.input, text: "" } }, TURN] })],
    ["of several sessions", { drop: [], groups: [GROUP, { ...GROUP, memoryKey: 5, turns: [TURN, TURN] }, GROUP] }],
    ["as large as may be", FULL],
    ["of nothing", { drop: [], groups: [] }],
  ])("is a request %s", (_what, request) => {
    const { main, worker } = bothEnds();
    expect(worker.readRequest(main.writeRequest(request) as string)).toEqual(request);
    // What stood there before is not met again.
    expect(worker.readRequest(main.writeRequest(requestOf()) as string)).toEqual(requestOf());
  });

  test("are replies, each message in its turn, whatever is posted between them", () => {
    const { main, worker } = bothEnds();
    const told: (readonly TurnReply[])[] = [
      [REPLY],
      [{ ...REPLY, turn: 8, effects: { ...REPLY.effects, text: "" } }, REPLY],
      [{ ...REPLY, effects: { numbers: [], text: "none", bytes: [] } }],
    ];
    const [first, second, third] = told.map((replies) => worker.writeReplies(replies));
    expect(worker.writeReplies([{ ...REPLY, effects: { ...REPLY.effects, bytes: [new Uint8Array(1)] } }])).toBe(
      undefined,
    );
    const last = worker.writeReplies([REPLY]);
    for (const [i, text] of [first, second, third].entries()) expect(main.readReplies(text as string)).toEqual(told[i]);
    expect(main.readReplies(last as string)).toEqual([REPLY]);
  });

  test("is what was answered, whatever is asked next", () => {
    const { main, worker } = bothEnds();
    const text = worker.writeReplies([REPLY]) as string;
    main.writeRequest(FULL);
    expect(main.readReplies(text)).toEqual([REPLY]);
  });

  test("are as many replies as a batch has turns, batch after batch", () => {
    const { main, worker } = bothEnds();
    for (let batch = 0; batch < 3; batch++) {
      for (const end of [main, worker]) end.beginBatch();
      const asked = worker.readRequest(main.writeRequest(FULL) as string);
      const replies = asked.groups.map(({ turns: [turn] }) => ({
        ...REPLY,
        turn: turn?.turn ?? -1,
        effects: { ...REPLY.effects, numbers: turn?.input.numbers ?? [] },
      }));
      const texts = replies.map((reply) => worker.writeReplies([reply]) as string);
      expect(texts.flatMap((text) => main.readReplies(text))).toEqual(replies);
    }
  });

  test.each<[string, BatchRequest]>([
    ["has to let go of instances", { ...requestOf(), drop: [1] }],
    ["brings a memory", requestOf({ memory })],
    ["brings source texts", requestOf({}, { sources: [source] })],
    ["brings bytes", requestOf({}, { input: { ...TURN.input, bytes: [new Uint8Array(1)] } })],
    ["has more numbers than there is room for", requestOf({}, { input: { ...TURN.input, numbers: tooMany } })],
    ["has one turn of those", requestOf({ turns: [TURN, { ...TURN, sources: [source] }] })],
  ])("is no request that %s", (_what, request) => {
    expect(new Mailbox().writeRequest(request)).toBeUndefined();
  });

  test.each<[string, readonly TurnReply[]]>([
    ["bring bytes", [{ ...REPLY, effects: { ...REPLY.effects, bytes: [new Uint8Array(1)] } }]],
    ["bring more numbers than there is room for", [{ ...REPLY, effects: { ...REPLY.effects, numbers: tooMany } }]],
    [
      "tell that a turn was undone",
      [{ kind: "undone", turn: 7, startedAt: 1, cpuTime: 1, began: true, reason: "trap", message: "", culprit: 0 }],
    ],
  ])("are no replies that %s", (_what, replies) => {
    const { main, worker } = bothEnds();
    expect(worker.writeReplies(replies)).toBeUndefined();
    expect(worker.writeReplies([REPLY, ...replies])).toBeUndefined();
    // Nothing of it was told.
    expect(main.readReplies(worker.writeReplies([REPLY]) as string)).toEqual([REPLY]);
  });
});
