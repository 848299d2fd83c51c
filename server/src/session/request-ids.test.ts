import { afterEach, describe, expect, test, vi } from "vitest";
import { IdRoom } from "../engine/id-room.js";
import { HeapShare, MainHeap } from "../engine/main-heap.js";
import { RequestIds } from "./request-ids.js";

afterEach(() => void vi.restoreAllMocks());

const MEBIBYTE = 1 << 20;
const sized = (heap = new MainHeap()): RequestIds<string> =>
  new RequestIds<string>(({ length }) => length, new HeapShare(heap));

describe("a request id", () => {
  test("runs its request once, and gives the same outcome again", async () => {
    const ids = sized();
    let runs = 0;
    const run = async (): Promise<string> => `run ${++runs}`;
    expect(await ids.once("a", "digest", run)).toBe("run 1");
    expect(await ids.once("a", "digest", run)).toBe("run 1");
    expect(await ids.once("b", "digest", run)).toBe("run 2");
  });

  test("gives a repeat the outcome of one that still runs", async () => {
    const ids = sized();
    let finish: (text: string) => void = () => undefined;
    const first = ids.once("a", "d", () => new Promise<string>((resolve) => (finish = resolve)));
    // Outcomes of others come and go meanwhile.
    for (let i = 0; i < 1_500; i++) await ids.once(`other ${i}`, "d", async () => "x".repeat(2_000));
    const repeat = ids.once("a", "d", async () => "again");
    finish("first");
    expect([await first, await repeat]).toEqual(["first", "first"]);
  });

  test("is refused for another request", async () => {
    const ids = sized();
    await ids.once("a", "one", async () => "");
    expect(() => ids.once("a", "other", async () => "")).toThrow(
      expect.objectContaining({ reason: "REQUEST_ID_REUSED" }),
    );
  });

  test("is known longer than its outcome, and does not run again", async () => {
    const ids = sized();
    await ids.once("a", "d", async () => "");
    for (let i = 0; i < 1_000; i++) await ids.once(`other ${i}`, "d", async () => "");
    expect(() => ids.once("a", "d", async () => "again")).toThrow(
      expect.objectContaining({ reason: "OUTCOME_EXPIRED" }),
    );
  });

  test("with a large outcome costs the others nothing", async () => {
    const ids = sized();
    await ids.once("small", "d", async () => "kept");
    await ids.once("large", "d", async () => "x".repeat(2 * MEBIBYTE));
    expect(await ids.once("small", "d", async () => "again")).toBe("kept");
    expect(() => ids.once("large", "d", async () => "again")).toThrow(
      expect.objectContaining({ reason: "OUTCOME_EXPIRED" }),
    );
  });

  test.each([3_600_000 * 3, -3_600_000 * 3])(
    "is known as long where the machine's clock is set by %i ms",
    async (jump) => {
      const ids = sized();
      const { now } = Date;
      await ids.once("a", "d", async () => "first");
      vi.spyOn(Date, "now").mockImplementation(() => now() + jump);
      expect(await ids.once("a", "d", async () => "again")).toBe("first");
      await ids.once("b", "d", async () => "second");
      // Who keeps it elsewhere is told by the clock as it is.
      const since = ids.record.map((answer) => Math.round((answer.since - now()) / 60_000));
      expect(since).toEqual([jump / 60_000, jump / 60_000]);
      vi.restoreAllMocks();
      const answered = ids.answerOf("b", "d", "second");
      expect(Math.abs(answered.since - now())).toBeLessThan(60_000);
      expect(await ids.once("b", "d", async () => "again")).toBe("second");
    },
  );

  test("is forgotten first by who knows most, where all together know too many", async () => {
    const heap = new MainHeap(0, new IdRoom(100));
    const [many, few, gone] = [sized(heap), sized(heap), new HeapShare(heap)];
    // Nothing is kept but ids.
    const know = async (ids: RequestIds<string>, from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) await ids.once(`${i}`, "d", async () => "x".repeat(20 * 1024));
    };
    gone.changeIds(50);
    await know(few, 0, 10);
    await know(many, 0, 40);
    gone.end();
    await know(many, 40, 90);
    expect([few.record.length, many.record.length]).toEqual([10, 90]);
    await know(few, 10, 12);
    expect(few.record.length).toBe(12);
    expect(many.record.map(({ requestId }) => requestId)).toEqual(Array.from({ length: 67 }, (_, i) => `${23 + i}`));
    expect(await many.once("0", "d", async () => "runs")).toBe("runs");
  });

  test("whose request was refused is free again", async () => {
    const ids = sized();
    await expect(ids.once("a", "one", () => Promise.reject(new Error("refused")))).rejects.toThrow("refused");
    expect(await ids.once("a", "other", async () => "runs")).toBe("runs");
  });
});
