/** Bad requests about snapshots and copies. */
import {
  CreateSessionRequest,
  CreateSnapshotRequest,
  DeleteSnapshotRequest,
  ExportSnapshotRequest,
  ForkSessionRequest,
  ImportSnapshotRequest,
  ListSnapshotsRequest,
  SessionServiceService as SessionRpcs,
  SnapshotServiceService as SnapshotRpcs,
} from "@livescope/proto";
import { expect } from "vitest";
import { type Answer, frame, responseOf } from "../raw-http2.js";
import { sealedAgain, VERSION_AT } from "../sealed-snapshot.js";
import { type BadRequest, dataOf, QUOTA, SNAPSHOT_KEY, type World } from "./world.js";

export const SNAPSHOT_CASES: Readonly<Record<string, BadRequest>> = {
  "snapshot/bit-flip": async (world) => {
    const bytes = await exported(world);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    return refusedImport(world, bytes);
  },

  "snapshot/other-tenant": async (world) =>
    refusedImport(world, sealedAgain(await exported(world), SNAPSHOT_KEY, "another")),

  "snapshot/rollback-version": async (world) => {
    const bytes = await exported(world);
    bytes.writeUInt32LE(0, VERSION_AT);
    return refusedImport(world, sealedAgain(bytes, SNAPSHOT_KEY));
  },

  "snapshot/restore-flood": async (world) => {
    const { snapshot } = await world.ask(
      SnapshotRpcs.createSnapshot,
      CreateSnapshotRequest.create({ sessionId: world.here.sessionId }),
    );
    const snapshotId = snapshot?.snapshotId ?? "";
    const create = (sessionId: string) =>
      world.connection.call(SessionRpcs.createSession, CreateSessionRequest.create({ sessionId, snapshotId }));
    const made: string[] = [];
    let answer = await create("copy-0");
    while (answer.status === "OK") {
      made.push(`copy-${made.length}`);
      answer = await create(`copy-${made.length}`);
    }
    expect(made.length).toBeLessThan(QUOTA);
    for (const sessionId of made) await world.deleteSession(sessionId);
    await world.ask(SnapshotRpcs.deleteSnapshot, DeleteSnapshotRequest.create({ snapshotId }));
    return answer;
  },

  "snapshot/fork-bomb": async (world) => {
    const { sessionId } = world.here;
    const fork = (of: string, count: number): Promise<Answer> =>
      world.connection.call(SessionRpcs.forkSession, ForkSessionRequest.create({ sessionId: of, count }));
    const answer = await fork(sessionId, 100_000);
    // Copies of copies count like all others, and where there is no room for all there is none.
    const copies: string[] = [];
    let more = await fork(sessionId, 2);
    while (more.status === "OK") {
      copies.push(...responseOf(SessionRpcs.forkSession, more).sessions.map((copy) => copy.sessionId));
      more = await fork(copies.at(-1) ?? "", 2);
    }
    expect(more.status).toBe("RESOURCE_EXHAUSTED");
    expect(copies.length).toBeLessThan(QUOTA);
    for (const copy of copies) {
      expect(dataOf(await world.execute(copy, "box.here"))).toBe(true);
      await world.deleteSession(copy);
    }
    return answer;
  },
};

/** A snapshot of `here` as its bytes; the server does not keep it. */
async function exported(world: World): Promise<Buffer> {
  const { sessionId } = world.here;
  const { snapshot } = await world.ask(SnapshotRpcs.createSnapshot, CreateSnapshotRequest.create({ sessionId }));
  const snapshotId = snapshot?.snapshotId ?? "";
  const request = ExportSnapshotRequest.create({ snapshotId });
  const { messages } = await world.connection.call(SnapshotRpcs.exportSnapshot, request);
  await world.ask(SnapshotRpcs.deleteSnapshot, DeleteSnapshotRequest.create({ snapshotId }));
  return Buffer.concat(messages.map((message) => SnapshotRpcs.exportSnapshot.responseDeserialize(message).chunk));
}

/** Nothing of what is refused is kept. */
async function refusedImport(world: World, bytes: Buffer): Promise<Answer> {
  const half = bytes.length >> 1;
  const chunks = [bytes.subarray(0, half), bytes.subarray(half)].map((chunk) =>
    frame(SnapshotRpcs.importSnapshot.requestSerialize(ImportSnapshotRequest.create({ chunk }))),
  );
  const answer = await world.connection.send(SnapshotRpcs.importSnapshot.path, Buffer.concat(chunks));
  expect((await world.ask(SnapshotRpcs.listSnapshots, ListSnapshotsRequest.create())).snapshots).toEqual([]);
  return answer;
}
