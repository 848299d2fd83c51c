import { expect, test } from "vitest";
import { HeapShare, MainHeap } from "../engine/main-heap.js";
import { type Call, PendingCalls } from "./pending-calls.js";

function call(name: string, id: string | undefined, execution: number, size = 1): Call {
  const text = { call: "", name, encoding: 0, args: [], locals: new Map(), ...(id === undefined ? {} : { id }) };
  return { execution, text, size };
}

const idsOf = (calls: Iterable<[string, Call]>): string[] => [...calls].map(([callId]) => callId);

test("calls are found by what they call and whom they were made for, until they are deleted", () => {
  const calls = new PendingCalls<Call>(new HeapShare(new MainHeap()));
  calls.add("1", call("f", undefined, 1));
  calls.add("2", call("g", undefined, 1));
  calls.add("3", call("f", undefined, 2));
  // Whoever passes functions chooses their ids.
  calls.add("4", call("f", "f", 2));
  expect(idsOf(calls.of({ name: "f" }))).toEqual(["1", "3"]);
  expect(idsOf(calls.of({ name: "", id: "f" }))).toEqual(["4"]);
  expect(idsOf(calls.madeFor(2))).toEqual(["3", "4"]);
  calls.delete("3");
  calls.delete("never there");
  expect([idsOf(calls.of({ name: "f" })), idsOf(calls.madeFor(2)), idsOf(calls)]).toEqual([
    ["1"],
    ["4"],
    ["1", "2", "4"],
  ]);
  calls.clear();
  expect([idsOf(calls.of({ name: "f" })), idsOf(calls.madeFor(1)), calls.size, calls.argumentSize]).toEqual([
    [],
    [],
    0,
    0,
  ]);
});

test("the size of their arguments is that of those that are there, also when one takes the place of another", () => {
  const calls = new PendingCalls<Call>(new HeapShare(new MainHeap()));
  calls.add("1", call("f", undefined, 1, 10));
  calls.add("2", call("g", undefined, 1, 5));
  calls.add("1", call("g", undefined, 3, 20));
  expect(calls.argumentSize).toBe(25);
  expect([idsOf(calls.of({ name: "f" })), idsOf(calls.of({ name: "g" })), idsOf(calls.madeFor(1))]).toEqual([
    [],
    ["2", "1"],
    ["2"],
  ]);
  calls.delete("1");
  expect(calls.argumentSize).toBe(5);
});

test("all of one function may be deleted while one goes through them", () => {
  const calls = new PendingCalls<Call>(new HeapShare(new MainHeap()));
  for (let i = 0; i < 5; i++) calls.add(`${i}`, call("f", undefined, 1));
  const seen: string[] = [];
  for (const [callId] of calls.of({ name: "f" })) {
    calls.delete(callId);
    seen.push(callId);
  }
  expect([seen, calls.size]).toEqual([["0", "1", "2", "3", "4"], 0]);
});

test("calls are found by whom is asked, who may become another, until they are deleted", () => {
  const calls = new PendingCalls<Call>(new HeapShare(new MainHeap()));
  const [one, other] = [{}, {}];
  calls.add("1", { ...call("f", undefined, 1), client: one });
  const moved: Call = { ...call("f", undefined, 1), client: one };
  calls.add("2", moved);
  calls.add("3", call("g", undefined, 1));
  const asked = () => [one, other].map((client) => idsOf(calls.askedOf(client)));
  expect(asked()).toEqual([["1", "2"], []]);
  calls.assign("2", moved, other);
  expect([asked(), moved.client === other]).toEqual([[["1"], ["2"]], true]);
  calls.assign("2", moved, undefined);
  expect([asked(), calls.areAsked]).toEqual([[["1"], []], true]);
  calls.delete("1");
  expect([asked(), calls.areAsked, calls.size]).toEqual([[[], []], false, 2]);
});
