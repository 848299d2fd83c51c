import { expect, test } from "vitest";
import { ConnectResponse, ExecuteResponse, encoded } from "./index.js";

const withBytes = (size: number): ExecuteResponse =>
  ExecuteResponse.fromPartial({
    execution: {
      executionId: "e",
      outcome: { $case: "value", value: { kind: { $case: "bytes", value: new Uint8Array(size).fill(size % 251) } } },
    },
  });

test("messages of any size are encoded as the generated code does, each into memory of its own", () => {
  const sizes = [0, 1, 100, 3_000_000, 5, 200_000, 3_000_001];
  const all = sizes.map((size) => encoded(ExecuteResponse, withBytes(size)));
  for (const [i, size] of sizes.entries()) {
    expect(Buffer.from(ExecuteResponse.encode(withBytes(size)).finish()).equals(all[i] as Buffer), `${size}`).toBe(
      true,
    );
  }
});

test("one that cannot be encoded leaves nothing in the next", () => {
  const status = { code: Number.NaN, message: "it failed", details: [] };
  const frames = [{ frameId: 1n, frame: { $case: "status" as const, value: status } }];
  expect(() => encoded(ConnectResponse, { frames })).toThrow();
  expect(encoded(ExecuteResponse, withBytes(3))).toEqual(Buffer.from(ExecuteResponse.encode(withBytes(3)).finish()));
});
