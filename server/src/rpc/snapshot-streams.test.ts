import { expect, test } from "vitest";
import { importSnapshot } from "./snapshot-streams.js";

test("few bytes of a snapshot do not keep the large message that they came in", async () => {
  const message = Buffer.from(new Uint8Array(1_000).fill(7).buffer);
  const kept: Uint8Array[] = [];
  const snapshots = {
    import: async (chunks: AsyncIterable<Uint8Array>) => {
      for await (const chunk of chunks) kept.push(chunk);
    },
  };
  const call = (async function* () {
    yield { chunk: message.subarray(10, 20) };
  })();
  await importSnapshot(snapshots as never, call as never);
  expect(kept.map((bytes) => [...bytes])).toEqual([Array(10).fill(7)]);
  expect(kept.map(({ buffer }) => buffer.byteLength)).toEqual([10]);
});
