import { expect, test } from "vitest";
import { UntakenBytes } from "./untaken-bytes.js";

const KIBIBYTE = 1024;

/** Readers of connections, and those that were cut. */
function counted(most: number) {
  const untaken = new UntakenBytes(most * KIBIBYTE);
  const cut: string[] = [];
  const reader = (name: string, peer: string) => ({ peer, cut: () => void cut.push(name) });
  return { update: (of: ReturnType<typeof reader>, size: number) => untaken.update(of, size * KIBIBYTE), reader, cut };
}

test("of the connection that has most the reader that has most is cut, of several the one that was counted first", () => {
  const { update, reader, cut } = counted(500);
  const [alone, ...others] = [reader("alone", "x"), reader("1", "y"), reader("2", "y"), reader("3", "y")] as const;
  update(alone, 190);
  for (const each of others) update(each, 100);
  expect(cut).toEqual([]);
  update(alone, 210);
  expect(cut).toEqual(["1"]);
  update(others[2], 120);
  update(others[1], 190);
  expect(cut).toEqual(["1", "2"]);
});

test("a reader is counted with what it has not taken now, a little is nothing, and its connection is asked for once", () => {
  const { update, reader, cut } = counted(100);
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
  update(reader("second", "y"), 100);
  expect(cut).toEqual([]);
});
