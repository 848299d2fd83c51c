import { expect, test } from "vitest";
import { HeldBytes } from "./held-bytes.js";

const KIBIBYTE = 1024;

/** Streams of connections, and those that were cut. */
function counted(most: number) {
  const held = new HeldBytes(most * KIBIBYTE);
  const cut: string[] = [];
  const stream = (name: string, peer: string) => ({ peer, cut: () => void cut.push(name) });
  return { update: (of: ReturnType<typeof stream>, size: number) => held.update(of, size * KIBIBYTE), stream, cut };
}

test("of the connection that has most the stream that has most is cut, of several the one that was counted first", () => {
  const { update, stream, cut } = counted(500);
  const [alone, ...others] = [stream("alone", "x"), stream("1", "y"), stream("2", "y"), stream("3", "y")] as const;
  update(alone, 190);
  for (const each of others) update(each, 100);
  expect(cut).toEqual([]);
  update(alone, 210);
  expect(cut).toEqual(["1"]);
  update(others[2], 120);
  update(others[1], 190);
  expect(cut).toEqual(["1", "2"]);
});

test("a stream is counted with what is held for it now, a little is nothing, and its connection is asked for once", () => {
  const { update, stream, cut } = counted(100);
  let asked = 0;
  const first = {
    get peer() {
      asked++;
      return "x";
    },
    cut: () => void cut.push("first"),
  };
  update(first, 15);
  expect(asked).toBe(0);
  for (let i = 0; i < 10; i++) {
    update(first, 90);
    update(first, 20);
  }
  expect(asked).toBe(1);
  update(first, 0);
  update(stream("second", "y"), 100);
  expect(cut).toEqual([]);
});
