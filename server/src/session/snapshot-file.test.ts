import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "./limits.js";
import type { SessionRecord } from "./session-record.js";
import { openSnapshot, type Seal, type SnapshotFile, sealSnapshot } from "./snapshot-file.js";

const SEAL: Seal = { key: Buffer.alloc(32, "key"), tenant: "ann" };

const RECORD: SessionRecord = {
  takenAt: 1_000,
  limits: DEFAULT_LIMITS,
  nextExecution: 3,
  loop: { nextTimer: { at: Number.POSITIVE_INFINITY, owner: 0 }, dropped: [1] },
  executions: [],
  hostFunctions: {
    names: ["add"],
    passed: ["id"],
    calls: [
      {
        execution: 2,
        callId: "c",
        text: {
          call: "c",
          name: "add",
          encoding: 1,
          args: [
            { arm: "json", text: '{"$bytes":"AA=="}' },
            { arm: "bytes", bytes: Buffer.from([0, 255]) },
          ],
          locals: new Map([["user", { arm: "json", text: '"ann"' }]]),
        },
      },
    ],
  },
  replies: [
    { callId: "d", execution: 0, result: { kind: "value", value: { kind: "bytes", bytes: Buffer.from([7]) } } },
  ],
};

const FILE: SnapshotFile = {
  snapshotId: "snapshot",
  sessionId: "session",
  createdAt: 1_000,
  ttl: 0,
  labels: new Map([
    ["a", "b"],
    ["__proto__", "c"],
  ]),
  engineDigest: "this build",
  extent: { heapEnd: 8192, memoryBytes: 65536, heapBytes: 5000, handles: 2 },
  record: RECORD,
  pages: Buffer.from("pages"),
};

/** As if a holder of the key had written it. */
function sealedAgain(bytes: Uint8Array): Buffer {
  const body = bytes.subarray(0, bytes.length - 32);
  const mac = createHmac("sha256", SEAL.key)
    .update(Buffer.from([3, 0, 0, 0]))
    .update("ann")
    .update(body)
    .digest();
  return Buffer.concat([body, mac]);
}

describe("the file of a snapshot", () => {
  test("gives back what was written", async () => {
    const bytes = await sealSnapshot(FILE, SEAL);
    expect(sealedAgain(bytes)).toEqual(Buffer.from(bytes));
    expect(await openSnapshot(bytes, SEAL, "this build")).toEqual(FILE);
  });

  test("is not written where it could not be read", async () => {
    const message = "x".repeat(256 << 20);
    const result = { kind: "exception", exception: { name: "Error", message } } as const;
    const record = { ...RECORD, replies: [{ callId: "d", execution: 0, result }] };
    await expect(sealSnapshot({ ...FILE, record }, SEAL)).rejects.toMatchObject({
      reason: "QUOTA_EXCEEDED",
      message: expect.stringContaining("in flight"),
    });
  });

  test("can be read wherever it lies in a buffer", async () => {
    const bytes = await sealSnapshot(FILE, SEAL);
    const within = new Uint8Array(bytes.length + 7);
    within.set(bytes, 3);
    const { pages } = await openSnapshot(within.subarray(3, 3 + bytes.length), SEAL, "this build");
    expect(Buffer.from(pages).toString()).toBe("pages");
  });

  test("is refused for another key, and for another tenant", async () => {
    const bytes = await sealSnapshot(FILE, SEAL);
    for (const seal of [
      { ...SEAL, key: Buffer.alloc(32, "other") },
      { ...SEAL, tenant: "" },
      { ...SEAL, tenant: "anna" },
    ]) {
      await expect(openSnapshot(bytes, seal, "this build")).rejects.toMatchObject({ reason: "SNAPSHOT_INVALID" });
    }
  });

  test("is refused when any bit of it is another, or any byte is missing", async () => {
    const bytes = await sealSnapshot(FILE, SEAL);
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed[i] = (changed[i] ?? 0) ^ (1 << (i % 8));
      await expect(openSnapshot(changed, SEAL, "this build")).rejects.toMatchObject({ reason: "SNAPSHOT_INVALID" });
      const cut = bytes.subarray(0, i);
      await expect(openSnapshot(cut, SEAL, "this build")).rejects.toMatchObject({ reason: "SNAPSHOT_INVALID" });
    }
  });

  test("says which build or which version it needs, to who can be sure that it is authentic", async () => {
    const bytes = await sealSnapshot(FILE, SEAL);
    await expect(openSnapshot(bytes, SEAL, "another build")).rejects.toMatchObject({
      reason: "SNAPSHOT_INCOMPATIBLE",
      message: expect.stringMatching(/this build.*another build/),
    });
    const newer = Buffer.from(bytes);
    newer.writeUInt32LE(2, 8);
    await expect(openSnapshot(newer, SEAL, "this build")).rejects.toMatchObject({ reason: "SNAPSHOT_INVALID" });
    await expect(openSnapshot(sealedAgain(newer), SEAL, "this build")).rejects.toMatchObject({
      reason: "SNAPSHOT_INCOMPATIBLE",
      message: expect.stringContaining("version 2"),
    });
  });
});
