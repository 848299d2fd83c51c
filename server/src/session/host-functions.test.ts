import { beforeEach, describe, expect, test, vi } from "vitest";
import { HeapShare, MainHeap } from "../engine/main-heap.js";
import { HostFunctions, type HostFunctionsHost } from "./host-functions.js";
import type { HostLink } from "./lending.js";
import { deletedMeanwhile } from "./live-sessions.js";

/** A stream that notes what it was told. */
class NotingLink implements HostLink {
  isOpen = true;
  readonly told: string[] = [];

  attached(): void {
    this.told.push("attached");
  }

  ended(): void {
    this.told.push("ended");
  }

  sessionLeft(sessionId: string, why: unknown): void {
    this.told.push(`session ${sessionId} ${why === undefined ? "left" : "ended"}`);
  }

  namesLeft(_sessionId: string, connectionId: string, names: readonly string[]): void {
    this.told.push(`${connectionId} is left ${[...names].sort().join(", ") || "nothing"}`);
  }

  call({ callId }: { readonly callId: string }): void {
    this.told.push(`call ${callId}`);
  }

  cancelled(callId: string): void {
    this.told.push(`cancelled ${callId}`);
  }

  passedOn(callId: string): void {
    this.told.push(`passed on ${callId}`);
  }

  released(hostFunctionId: string): void {
    this.told.push(`released ${hostFunctionId}`);
  }
}

function started(own: Partial<HostFunctionsHost> = {}): HostFunctions {
  const host: HostFunctionsHost = {
    sessionId: "s",
    share: new HeapShare(new MainHeap()),
    hasRoomFor: () => true,
    reply: () => undefined,
    whenKept: (send) => send(),
    whenFinal: (work) => work(),
    holder: 0,
    callerOf: () => undefined,
    ...own,
  };
  return new HostFunctions(host);
}

const exposing = { connectionId: "c", names: ["f"], takeOver: false, reconnectWindow: 0 };
const calling = (call: string) => ({ call, name: "f", encoding: 0, args: [], locals: new Map() }) as const;

/** Whatever a window of 0 ends has ended then: timers of one length fall due in their order. */
const windowIsOver = () => new Promise((resolve) => setTimeout(resolve, 1));

test("a stream that has ended is not attached: who exposes by it is awaited for as long as it says", async () => {
  const functions = started();
  const gone = new NotingLink();
  gone.isOpen = false;
  expect(functions.expose(exposing, gone).keep()).toEqual(["f"]);
  functions.call(0, calling("1"));
  expect(gone.told).toEqual([]);
  await windowIsOver();
  expect([functions.names, functions.hasClients, functions.openCalls]).toEqual([[], false, 0]);
});

test("calls by thousands leave in their order, and others have the thread between", async () => {
  const functions = started();
  const link = new NotingLink();
  functions.expose(exposing, link);
  for (let i = 0; i < 1_600; i++) functions.call(0, calling(`${i}`));
  functions.call(7, calling("in vain"));
  expect(link.told.length).toBeLessThan(1_000);
  // Nobody waits any more for one that has not left.
  functions.cancelOf(7);
  const called = () => link.told.filter((told) => told.startsWith("call "));
  await expect.poll(() => called().length).toBe(1_600);
  expect(called()).toEqual(Array.from({ length: 1_600 }, (_, i) => `call ${i}`));
});

test("a stream that has ended does not take the place of the one by which its client is back", async () => {
  const functions = started();
  const [gone, next] = [new NotingLink(), new NotingLink()];
  gone.isOpen = false;
  functions.expose(exposing, next);
  functions.expose(exposing, gone);
  await windowIsOver();
  functions.call(0, calling("1"));
  expect(next.told).toEqual(["attached", "call 1"]);
});

test("of functions that are passed again a session has no more than before", () => {
  const functions = started();
  const link = new NotingLink();
  functions.pass({ ids: ["twice", "twice", ...Array.from({ length: 9_999 }, (_, i) => `${i}`)], link });
  functions.pass({ ids: ["twice", "0"], link });
  expect(() => functions.pass({ ids: ["0", "one more"], link })).toThrow(/10000 functions passed/);
});

test("a client that comes when its window is over is told that nobody holds what it had passed", async () => {
  const functions = started();
  const [first, next, stranger] = [new NotingLink(), new NotingLink(), new NotingLink()];
  functions.expose({ ...exposing, names: [], reconnectWindow: 1 }, first).keep();
  functions.pass({ ids: ["1", "2", "3"], link: first });
  functions.received(["1", "2", "3"]);
  first.isOpen = false;
  functions.detach(first);
  functions.letGo("2");
  await expect.poll(() => functions.hasClients).toBe(false);
  functions.expose({ ...exposing, names: [], connectionId: "stranger" }, stranger).keep();
  functions.expose({ ...exposing, names: [] }, next).keep();
  expect(stranger.told).toEqual(["attached"]);
  expect(next.told.sort()).toEqual(["attached", "released 1", "released 2", "released 3"]);
});

test("a client that keeps a function no more is told that nobody waits for what was called of it", () => {
  const replies: string[] = [];
  const functions = started({ reply: (callId) => void replies.push(callId) });
  const link = new NotingLink();
  functions.pass({ ids: ["1"], link });
  functions.received(["1"]);
  functions.call(0, { ...calling("a"), id: "1" });
  functions.forget(link, "1");
  expect([link.told, replies]).toEqual([["attached", "call a", "cancelled a"], ["a"]]);
});

test("of a client that did not come back nothing is known where there is nothing to tell it", async () => {
  const functions = started();
  const gone = new NotingLink();
  functions.expose({ ...exposing, reconnectWindow: 1 }, gone).keep();
  gone.isOpen = false;
  functions.detach(gone);
  await expect.poll(() => functions.hasClients).toBe(false);
  expect(functions.record.gone).toBeUndefined();
});

test("of a session that has come back who passed functions is waited for, and asked again when it is here", () => {
  const before = started();
  const link = new NotingLink();
  for (const [connectionId, id] of [
    ["a", "1"],
    ["b", "2"],
  ] as const) {
    const own = new NotingLink();
    before.expose({ ...exposing, connectionId, names: [], reconnectWindow: 60_000 }, own).keep();
    before.pass({ ids: [id], link: own });
    before.received([id]);
  }
  before.call(0, { ...calling("first"), id: "2" });
  const { record } = before;
  const then = started();
  then.restore(record, true);
  then.call(0, { ...calling("later"), id: "2" });
  expect(then.hasClients).toBe(true);
  then.expose({ ...exposing, connectionId: "b", names: [] }, link).keep();
  expect(link.told).toEqual(["attached", "call first", "call later"]);
  then.letGo("2");
  expect(link.told.at(-1)).toBe("released 2");
  // Whoever has a copy lends it what is to be lent there.
  const copy = started();
  copy.restore(record, false);
  expect(copy.hasClients).toBe(false);
  for (const each of [before, then, copy]) each.end(() => deletedMeanwhile("s"));
});

test("of a session that has come back who was away, or comes too late, is told that nobody holds what it had passed", async () => {
  const before = started();
  const link = new NotingLink();
  for (const [connectionId, reconnectWindow] of [
    ["late", 1],
    ["away", 60_000],
  ] as const) {
    const own = new NotingLink();
    const ids = [`${connectionId} 1`, `${connectionId} 2`];
    before.expose({ ...exposing, connectionId, names: [], reconnectWindow }, own).keep();
    before.pass({ ids, link: own });
    before.received(ids);
    own.isOpen = false;
    before.detach(own);
  }
  before.letGo("away 1");
  await expect.poll(() => before.record.passed).toEqual(["away 2"]);
  const then = started();
  then.restore(before.record, true);
  const again = started();
  again.restore(then.record, true);
  for (const connectionId of ["late", "away", "stranger"]) {
    again.expose({ ...exposing, connectionId, names: [] }, link).keep();
  }
  expect(link.told.filter((each) => each !== "attached").sort()).toEqual([
    "released away 1",
    "released late 1",
    "released late 2",
  ]);
  expect(again.record.gone).toBeUndefined();
  for (const each of [before, then, again]) each.end(() => deletedMeanwhile("s"));
});

test("who was waited for and comes from where the session was before goes on there", () => {
  const before = started();
  const link = new NotingLink();
  before.expose({ ...exposing, names: [], reconnectWindow: 60_000 }, link).keep();
  before.pass({ ids: ["1"], link });
  before.received(["1"]);
  before.call(0, { ...calling("first"), id: "1" });
  const { record } = before;
  const then = started();
  then.restore(record, true);
  then.adopt(before.handOver());
  expect(link.told).toEqual(["attached", "call first", "ended", "attached", "call first"]);
  then.call(0, { ...calling("later"), id: "1" });
  expect(link.told.at(-1)).toBe("call later");
  then.end(() => deletedMeanwhile("s"));
});

test.each([true, false])(
  "where it is not known whether that was kept, what the guest let go of is held if it is found there: %s",
  (isFound) => {
    const before = started({ whenFinal: () => undefined });
    const link = new NotingLink();
    before.expose({ ...exposing, reconnectWindow: 60_000 }, link).keep();
    before.pass({ ids: ["1"], link });
    before.received(["1"]);
    const held = before.record;
    before.letGo("1");
    const found = isFound ? held : before.record;
    const lenders = before.handOver();
    const then = started();
    then.restore(found, true);
    then.adopt(lenders);
    expect(link.told).toEqual(["attached", "ended", "attached", ...(isFound ? [] : ["released 1"])]);
  },
);

test.each([
  ["and that is final", true, ["released 1"]],
  ["and that is undone", false, []],
])("one that is passed again when the guest had let go of it, by a command that never ran: %s", (_, isFinal, told) => {
  for (const isRefusedBefore of [true, false]) {
    let end = (): void => undefined;
    const functions = started({ whenFinal: (work, undone) => (end = isFinal ? work : undone) });
    const link = new NotingLink();
    functions.expose(exposing, link).keep();
    functions.pass({ ids: ["1"], link });
    functions.received(["1"]);
    functions.letGo("1");
    functions.pass({ ids: ["1"], link });
    if (isRefusedBefore) functions.notReceived(["1"]);
    end();
    if (!isRefusedBefore) functions.notReceived(["1"]);
    expect([link.told, functions.record.passed]).toEqual([["attached", ...told], isFinal ? [] : ["1"]]);
  }
});

test("of two exposes that are refused nothing stays, whichever is refused first", () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const functions = started();
    const [one, other] = [new NotingLink(), new NotingLink()];
    functions.expose({ ...exposing, connectionId: "other" }, other).keep();
    const both = [1, 2].map(() => functions.expose({ ...exposing, names: ["f", "g"], takeOver: true }, one));
    for (const i of order) both[i]?.undo();
    functions.call(0, calling("1"));
    expect([functions.names, one.told, other.told]).toEqual([["f"], ["attached"], ["attached", "call 1"]]);
  }
});

test("a call that is not known where the session is loaded again is cancelled, and another one made again", () => {
  const [before, then] = [started(), started()];
  const link = new NotingLink();
  before.expose({ ...exposing, reconnectWindow: 30_000 }, link).keep();
  before.call(0, calling("kept"));
  const { record } = before;
  before.call(0, calling("lost"));
  link.told.splice(0);
  then.restore(record, true);
  then.adopt(before.handOver());
  expect(link.told).toEqual(["ended", "cancelled lost", "attached", "call kept"]);
  then.end(() => deletedMeanwhile("s"));
});

describe("where it is not known whether commands were kept, functions that they brought and nobody knows", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    return () => vi.useRealTimers();
  });

  /** The session is loaded again after it was passed these. */
  function loadedAgain(link: HostLink, ids: readonly string[]): HostFunctions {
    const before = started();
    before.expose({ ...exposing, names: [], reconnectWindow: 300_000 }, link).keep();
    before.pass({ ids, link });
    const then = started();
    then.adopt(before.handOver());
    return then;
  }

  test("wait for a repeat, and are given back where none comes", () => {
    const link = new NotingLink();
    const functions = loadedAgain(link, ["kept", "refused", "lost"]);
    functions.pass({ ids: ["kept", "refused"], link });
    functions.received(["kept"]);
    functions.notReceived(["refused"]);
    vi.advanceTimersByTime(59_000);
    expect(link.told.splice(0)).toEqual(["attached", "ended", "attached"]);
    vi.advanceTimersByTime(1_000);
    expect(link.told).toEqual(["released refused", "released lost"]);
    vi.advanceTimersByTime(600_000);
    expect(link.told).toHaveLength(2);
    functions.end(() => deletedMeanwhile("s"));
  });

  test("are not given back to a client that was away, and may repeat yet", () => {
    const [first, next] = [new NotingLink(), new NotingLink()];
    const functions = loadedAgain(first, ["lost"]);
    functions.detach(first);
    vi.advanceTimersByTime(59_000);
    functions.expose({ ...exposing, names: [], reconnectWindow: 300_000 }, next).keep();
    vi.advanceTimersByTime(60_000);
    expect(next.told).toEqual(["attached"]);
    vi.advanceTimersByTime(1_000);
    expect(next.told).toEqual(["attached", "released lost"]);
    functions.end(() => deletedMeanwhile("s"));
  });
});

test("a name goes back to whom an expose gave it that was answered meanwhile", () => {
  const functions = started();
  const [one, other] = [new NotingLink(), new NotingLink()];
  const first = functions.expose(exposing, one);
  const second = functions.expose({ ...exposing, connectionId: "other", takeOver: true }, other);
  first.keep();
  second.undo();
  functions.call(0, calling("1"));
  expect([one.told, other.told]).toEqual([["attached", "call 1"], ["attached"]]);
});

test("an expose tells of no name that may yet be refused, and keeps those that one before it is refused", () => {
  const functions = started();
  const link = new NotingLink();
  const [first, second, third] = [["f", "g"], ["f"], ["h"]].map((names) =>
    functions.expose({ ...exposing, names }, link),
  );
  expect(second?.keep()).toEqual(["f"]);
  first?.undo();
  expect(functions.names).toEqual(["f", "h"]);
  expect(third?.keep()).toEqual(["f", "h"]);
});

test("a client is told what is left to it when it is known that another has its names, and not before", () => {
  const functions = started();
  const [one, other] = [new NotingLink(), new NotingLink()];
  const takingOver = { ...exposing, connectionId: "other", takeOver: true };
  functions.expose({ ...exposing, names: ["f", "g", "h", "i"] }, one).keep();
  const [refused, kept, waiting] = [["f"], ["g"], ["h"]].map((names) =>
    functions.expose({ ...takingOver, names }, other),
  );
  refused?.undo();
  expect(one.told).toEqual(["attached"]);
  // Of what is not answered it is not known yet.
  expect(kept?.keep()).toEqual(["g"]);
  expect(one.told.splice(0)).toEqual(["attached", "c is left f, h, i"]);
  expect(waiting?.keep()).toEqual(["g", "h"]);
  expect(one.told.splice(0)).toEqual(["c is left f, i"]);
  functions.expose({ ...takingOver, names: ["f", "i"] }, other).keep();
  // Who has them already takes nothing from anybody.
  functions.expose({ ...takingOver, names: ["f", "g"] }, other).keep();
  expect([one.told, other.told]).toEqual([["c is left nothing"], ["attached"]]);
});

test("a call that waits in a copy waits on when the expose that it was sent to is refused", () => {
  const functions = started();
  const [first, second] = [new NotingLink(), new NotingLink()];
  functions.restore({ names: ["f"], passed: [], calls: [] }, true);
  functions.call(0, calling("1"));
  functions.expose({ ...exposing, connectionId: "first" }, first).undo();
  functions.expose({ ...exposing, connectionId: "second" }, second).keep();
  expect([first.told, second.told]).toEqual([
    ["attached", "call 1", "cancelled 1"],
    ["attached", "call 1"],
  ]);
});

test("what was released while its client was away is told when it is back, once", () => {
  const functions = started();
  const [first, second, third] = [new NotingLink(), new NotingLink(), new NotingLink()];
  const named = { ...exposing, names: [], reconnectWindow: 30_000 };
  functions.expose(named, first).keep();
  functions.pass({ ids: ["x", "y", "z"], link: first });
  functions.letGo("x");
  functions.detach(first);
  functions.letGo("y");
  functions.expose(named, second).keep();
  functions.expose(named, third).keep();
  functions.end(() => deletedMeanwhile("s"));
  expect([first.told, second.told, third.told]).toEqual([
    ["attached", "released x"],
    ["attached", "released y", "ended"],
    ["attached", "released z", "ended", "session s ended"],
  ]);
});

test("a client that lends nothing any more keeps the session as long as it has a window, or a call to answer", () => {
  const functions = started();
  const link = new NotingLink();
  functions.expose({ ...exposing, names: [], reconnectWindow: 30_000 }, link).keep();
  expect(functions.hasClients).toBe(true);
  functions.pass({ ids: ["x"], link });
  functions.expose({ ...exposing, names: [] }, link).keep();
  functions.call(0, { ...calling("1"), id: "x" });
  expect(functions.hasClients).toBe(true);
  functions.letGo("x");
  expect(functions.hasClients).toBe(true);
  functions.cancelOf(0);
  expect(functions.hasClients).toBe(false);
});

test("a name goes back to whom a refused exposure took it from, also if who took it was given up meanwhile", async () => {
  const functions = started();
  const [one, other] = [new NotingLink(), new NotingLink()];
  functions.expose({ ...exposing, reconnectWindow: 30_000 }, one).keep();
  const taking = functions.expose({ ...exposing, connectionId: "other", takeOver: true }, other);
  functions.detach(other);
  await windowIsOver();
  taking.undo();
  functions.call(0, calling("1"));
  expect(one.told).toEqual(["attached", "call 1"]);
});

describe("where the server keeps as much of all sessions as it may", () => {
  const KIBIBYTE = 1024;
  const long = (text: string): string => text.padEnd(KIBIBYTE, "_");
  const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => long(`f${i}`));

  /** One session of two, and what the other has left it, in KiB. */
  const beside = (most: number): { functions: HostFunctions; left: () => number } => {
    const heap = new MainHeap(most * KIBIBYTE);
    const functions = started({ share: new HeapShare(heap) });
    const other = new HeapShare(heap);
    const left = (): number => {
      let kibibytes = most;
      while (!other.hasRoomFor(kibibytes * KIBIBYTE, most * KIBIBYTE)) kibibytes--;
      return kibibytes;
    };
    return { functions, left };
  };

  test("names, functions that are passed and clients are refused, but for few of them", () => {
    const { functions } = beside(50);
    const link = new NotingLink();
    expect(() => functions.expose({ ...exposing, names: ids(50) }, link)).toThrow(/as much of all sessions as it may/);
    expect(() => functions.pass({ ids: ids(50), link })).toThrow(/as much of all sessions as it may/);
    expect(functions.names).toEqual([]);
    functions.pass({ ids: ids(43), link });
    const come = (connectionId: string) => functions.expose({ ...exposing, names: [], connectionId }, link);
    expect(() => come("another")).toThrow(/as much of all sessions as it may/);
    const { functions: other } = beside(8);
    other.expose({ ...exposing, names: ids(8) }, link).keep();
    expect(other.names).toHaveLength(8);
  });

  test("who was away when the session was loaded again, and does not come back, is kept once", async () => {
    const before = started();
    const away = new NotingLink();
    const client = { ...exposing, names: [], reconnectWindow: 1 };
    before.expose(client, away).keep();
    before.pass({ ids: ids(100), link: away });
    before.received(ids(100));
    before.detach(away);
    for (const id of ids(100)) before.letGo(id);
    const { functions, left } = beside(1_000);
    functions.restore(before.record, true);
    functions.adopt(before.handOver());
    await expect.poll(() => functions.hasClients).toBe(false);
    const link = new NotingLink();
    functions.expose({ ...client, reconnectWindow: 0 }, link).keep();
    expect(link.told.filter((each) => each.startsWith("released"))).toHaveLength(100);
    expect(left()).toBe(998);
  });

  test("what is given back leaves room, however that comes about", async () => {
    const { functions, left } = beside(1_000);
    const [link, away, next] = [new NotingLink(), new NotingLink(), new NotingLink()];
    functions.expose({ ...exposing, names: ids(100) }, link).undo();
    expect(left()).toBe(998);
    functions.expose({ ...exposing, names: ids(100) }, link).keep();
    functions.pass({ ids: ids(100), link });
    functions.received(ids(100));
    const withBoth = left();
    expect(withBoth).toBeLessThan(800);
    functions.pass({ ids: ids(100), link });
    expect(left()).toBe(withBoth);
    for (const id of ids(50)) functions.forget(link, id);
    expect(left()).toBeGreaterThan(withBoth + 50);
    link.isOpen = false;
    functions.detach(link);
    await windowIsOver();
    expect(left()).toBe(1_000);

    functions.expose({ ...exposing, names: [], reconnectWindow: 1 }, away).keep();
    functions.pass({ ids: ids(100), link: away });
    functions.received(ids(100));
    const withAll = left();
    away.isOpen = false;
    functions.detach(away);
    for (const id of ids(50)) functions.letGo(id);
    expect(left()).toBe(withAll);
    await expect.poll(() => functions.hasClients).toBe(false);
    // It is to be told of all of them should it come.
    expect(left()).toBe(withAll + 1);
    functions.expose({ ...exposing, names: [] }, next).keep();
    expect([next.told.length, left()]).toEqual([101, 998]);
  });
});
