import { randomUUID } from "node:crypto";
import {
  CreateSnapshotRequest,
  ImportSnapshotRequest,
  SnapshotServiceService,
  type Snapshot as WireSnapshot,
} from "@livescope/proto";
import { checkId, checkText, checkTexts, countOf, shown } from "./checks.js";
import { LivescopeError } from "./errors.js";
import { writeDuration } from "./limits.js";
import type { RequestOptions } from "./options.js";
import type { Channel } from "./transport/channel.js";
import { make } from "./transport/making.js";
import { sendAll, sendAndListen } from "./transport/streams.js";

/** A session as it was between two turns, executions in flight included. It is kept by the server until it is deleted or expires. */
export interface Snapshot {
  readonly snapshotId: string;
  /** The session it was taken of, which may be gone. */
  readonly sessionId: string;
  readonly createTime: Date | undefined;
  /** When the server deletes it. Undefined: never. */
  readonly expireTime: Date | undefined;
  /** What it takes in the server's store, and exported, in bytes. */
  readonly sizeBytes: number;
  /** Names the build of the engine that can restore it; see {@link ServerInfo}. */
  readonly engineDigest: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Options of {@link Session.snapshot}. */
export interface SnapshotOptions extends RequestOptions {
  /** The caller's own marks, by which `listSnapshots` finds it. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** How long the server keeps it, in milliseconds. Left out: until it is deleted. */
  readonly ttl?: number | undefined;
  /**
   * A UUID that makes a repeat of the same request safe, also from another process. Left out: one is made, and a snapshot whose request
   * is aborted is deleted.
   */
  readonly requestId?: string | undefined;
}

/** Options of {@link Livescope.listSnapshots}. `timeout` is that of each page. */
export interface ListSnapshotsOptions extends RequestOptions {
  /** Labels that a snapshot must have, all of them with these values. Left out: every snapshot. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** How many snapshots are asked for at a time, at most 1,000. Left out: 50. */
  readonly pageSize?: number | undefined;
}

/**
 * The id of what may be given as a snapshot or as its id.
 * @throws {TypeError} if it is neither: the server would take none for one that is left out
 */
export function snapshotIdOf(snapshot: Snapshot | string): string {
  const id: unknown = typeof snapshot === "string" ? snapshot : snapshot?.snapshotId;
  if (typeof id === "string" && id !== "") return id;
  throw new TypeError(`the snapshot is ${shown(snapshot)}: give a snapshot, or its id`);
}

export async function takeSnapshot(channel: Channel, sessionId: string, options: SnapshotOptions): Promise<Snapshot> {
  checkTexts("labels", options.labels);
  checkId("requestId", options.requestId);
  const request = CreateSnapshotRequest.create({
    sessionId,
    labels: new Map(Object.entries(options.labels ?? {})),
    ttl: options.ttl === undefined ? undefined : writeDuration("ttl", options.ttl),
    requestId: options.requestId ?? randomUUID(),
  });
  const { createSnapshot, deleteSnapshot } = SnapshotServiceService;
  const { snapshot } = await make(channel, createSnapshot, request, options, ({ snapshot: made }, letGo) =>
    letGo(deleteSnapshot, { snapshotId: made?.snapshotId ?? "", allowMissing: true }),
  );
  return readSnapshot(snapshot);
}

export async function getSnapshot(channel: Channel, snapshotId: string, options: RequestOptions): Promise<Snapshot> {
  checkText("snapshotId", snapshotId);
  const { snapshot } = await channel.send(SnapshotServiceService.getSnapshot, { snapshotId }, options);
  return readSnapshot(snapshot);
}

export async function* listSnapshots(
  channel: Channel,
  options: ListSnapshotsOptions,
): AsyncGenerator<Snapshot, void, void> {
  checkTexts("labels", options.labels);
  const labels = new Map(Object.entries(options.labels ?? {}));
  const pageSize = countOf("pageSize", options.pageSize);
  let pageToken = "";
  do {
    const request = { pageSize, pageToken, labels };
    const page = await channel.send(SnapshotServiceService.listSnapshots, request, options);
    yield* page.snapshots.map(readSnapshot);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

export async function* exportSnapshot(
  channel: Channel,
  snapshotId: string,
  options: RequestOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const request = { snapshotId };
  for await (const { chunk } of sendAndListen(channel, SnapshotServiceService.exportSnapshot, request, options)) {
    yield chunk;
  }
}

/** What a message of an import carries at most. */
const CHUNK_BYTES = 1 << 20;

export async function importSnapshot(
  channel: Channel,
  bytes: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: RequestOptions,
): Promise<Snapshot> {
  if (!isBytes(bytes) && !isIterable(bytes)) throw new TypeError(`the bytes are ${shown(bytes)}: ${BYTES}`);
  const chunks = isBytes(bytes) ? [bytes] : bytes;
  const { snapshot } = await sendAll(channel, SnapshotServiceService.importSnapshot, requestsOf(chunks), options);
  return readSnapshot(snapshot);
}

const BYTES = "give a Uint8Array, or what iterates over some";

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

function isIterable(value: unknown): boolean {
  return typeof value === "object" && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value);
}

async function* requestsOf(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
  for await (const bytes of chunks) {
    if (!isBytes(bytes)) throw new TypeError(`a piece of the bytes is ${shown(bytes)}: ${BYTES}`);
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      yield ImportSnapshotRequest.create({ chunk: Buffer.from(bytes.subarray(at, at + CHUNK_BYTES)) });
    }
  }
}

/** @throws {LivescopeError} if the answer carries no snapshot */
function readSnapshot(snapshot: WireSnapshot | undefined): Snapshot {
  if (snapshot === undefined) throw new LivescopeError("the answer carries no snapshot: is the server newer?");
  const { snapshotId, sessionId, createTime, expireTime, sizeBytes, engineDigest, labels } = snapshot;
  return {
    snapshotId,
    sessionId,
    createTime,
    expireTime,
    sizeBytes: Number(sizeBytes),
    engineDigest,
    labels: Object.fromEntries(labels),
  };
}
