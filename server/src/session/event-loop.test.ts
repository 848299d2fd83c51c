import { describe, expect, it } from "vitest";
import type { Engine, TurnResult, TurnSpec } from "../engine/engine.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { EventLoop, type EventLoopHost, type Input } from "./event-loop.js";

const committed = { kind: "committed", effects: [], console: [], told: 0, nextTimer: -1, nextTimerOwner: 0 };

/** A loop whose turns are run one group after the other, as long as there are some. */
function loopOf() {
  const ticks: (() => void)[] = [];
  let posted: TurnSpec[] = [];
  const engine = {
    atEndOfTick: (call: () => void) => ticks.push(call),
    saveImage: () => ({ heapBytes: 0 }),
    run: (_: unknown, specs: TurnSpec[]) => {
      posted = specs;
      return specs.map(() => ({ stop: () => undefined }));
    },
  } as unknown as Engine;
  const host = {
    hasOpenExecutions: true,
    changed: () => undefined,
    onStill: () => undefined,
  } as unknown as EventLoopHost;
  const loop = new EventLoop(engine, { heapBytes: 0 } as SessionMemory, host);
  const run = (): void => {
    for (;;) {
      for (const tick of ticks.splice(0)) tick();
      if (posted.length === 0) return;
      for (const { done } of posted.splice(0)) done(committed as unknown as TurnResult);
    }
  };
  const ran: string[] = [];
  let looks = 0;
  const input = (name: string, owner: number, start?: Input["start"]): Input => ({
    owner,
    get start() {
      looks++;
      return start;
    },
    begin: () => ({ input: { kind: "collect" }, budget: 1, consoleBytes: 0 }) as unknown as ReturnType<Input["begin"]>,
    done: () => void ran.push(name),
  });
  const begin = (name: string, owner: number, isAtomic = false, above: number[] = []): Input =>
    input(name, owner, { isAtomic, chain: [owner, ...above] });
  return { loop, run, ran, input, begin, looks: () => looks };
}

describe("while one has the session alone", () => {
  it("its turns look at none of those that wait for its end", () => {
    const { loop, run, ran, input, begin, looks } = loopOf();
    loop.add(begin("first", 1, true));
    run();
    for (let i = 2; i < 1_002; i++) loop.add(begin(`${i}`, i, i % 2 === 0));
    run();
    const before = looks();
    for (let i = 0; i < 100; i++) {
      loop.add(input("a turn of it", 1));
      run();
    }
    expect(ran.length).toBe(101);
    expect(looks() - before).toBeLessThan(1_000);
  });

  it("what runs within goes by those, whatever is put first or taken back, and they follow in their order", () => {
    const { loop, run, ran, input, begin } = loopOf();
    loop.add(begin("first", 1, true));
    run();
    const [second, third] = [begin("2", 2), begin("3", 3)];
    for (const each of [second, third, begin("4", 4, true), begin("5", 5)]) loop.add(each);
    run();
    expect(loop.remove(second)).toBe(true);
    loop.add(begin("within", 6, false, [1]));
    run();
    loop.addAgain(begin("again", 7, false, [1]));
    loop.addAgain(input("nobody's", 0));
    run();
    // As one does that was undone for another's sake.
    loop.addAgain(begin("first again", 1, true));
    run();
    expect(ran).toEqual(["first", "within", "nobody's", "again", "first again"]);
    for (const owner of [6, 7, 1]) loop.ended(owner);
    run();
    loop.ended(3);
    run();
    loop.ended(4);
    run();
    expect(ran.slice(5)).toEqual(["3", "4", "5"]);
  });
});

describe("while one waits to have the session alone", () => {
  it("turns of what it waits for look at none of those that are behind it", () => {
    const { loop, run, ran, input, begin, looks } = loopOf();
    loop.add(begin("first", 1));
    run();
    loop.add(begin("2", 2, true));
    for (let i = 3; i < 1_002; i++) loop.add(begin(`${i}`, i));
    run();
    const before = looks();
    for (let i = 0; i < 100; i++) {
      loop.add(input("a turn of the first", 1));
      loop.add(begin("on its behalf", 2_000 + i, false, [1]));
      run();
      loop.ended(2_000 + i);
    }
    expect(ran.length).toBe(201);
    expect(looks() - before).toBeLessThan(5_000);
    loop.ended(1);
    run();
    expect(ran.slice(201)).toEqual(["2"]);
    loop.ended(2);
    run();
    expect(ran.slice(202, 204)).toEqual(["3", "4"]);
  });
});
