/**
 * A snapshot as bytes: a header, the session's record, its pages, and a MAC over all of it. docs/snapshots.md has the format.
 *
 * Pages are arbitrary state of the engine, so nothing of a file is read before the MAC says that a holder of the key wrote it.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { setImmediate as nextTick } from "node:timers/promises";
import { promisify } from "node:util";
import { deflate, inflate } from "node:zlib";
import type { PageImageExtent } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import { readText, type SessionRecord, writeText } from "./session-record.js";

/** What is told of a snapshot without its pages. */
export interface SnapshotHeader {
  readonly snapshotId: string;
  /** The session it was taken of. */
  readonly sessionId: string;
  /** When that was made, in milliseconds since the epoch: another may have its id later. */
  readonly sessionCreatedAt?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds that it is kept from when it is stored; 0 for ever. */
  readonly ttl: number;
  readonly labels: ReadonlyMap<string, string>;
  readonly engineDigest: string;
  readonly extent: PageImageExtent;
}

export interface SnapshotFile extends SnapshotHeader {
  readonly record: SessionRecord;
  /** Of `Engine.encodeImage`. */
  readonly pages: Uint8Array;
}

/** Who may read what: files of another key, or another tenant, are as if somebody had forged them. */
export interface Seal {
  readonly key: Uint8Array;
  /** Empty as long as a server has one tenant. */
  readonly tenant: string;
}

type WrittenHeader = Omit<SnapshotHeader, "labels"> & {
  readonly labels: readonly (readonly [string, string])[];
  readonly recordBytes: number;
  readonly pageBytes: number;
};

const MAGIC = Buffer.from("livesnap");
const VERSION = 1;
const VERSION_AT = MAGIC.length;
const HEADER_LENGTH_AT = VERSION_AT + 4;
const HEADER_AT = HEADER_LENGTH_AT + 4;
const MAC_BYTES = 32;
/** What is hashed before others have their turn on this thread: a few milliseconds. */
const HASHED_AT_ONCE = 4 << 20;
/** Of the record: it is made of what a session may hold for its host functions, and somewhat more. */
const RECORD_BYTES = 256 << 20;

const deflated = promisify(deflate);
const inflated = promisify(inflate);

/** @throws SessionError QUOTA_EXCEEDED (rejects) for a record that `openSnapshot` would not read */
export async function sealSnapshot(file: SnapshotFile, seal: Seal): Promise<Uint8Array> {
  const { record, pages, labels, ...rest } = file;
  const text = writeText(record);
  const size = Buffer.byteLength(text);
  if (size > RECORD_BYTES) throw tooLarge(size, file.sessionId);
  const recordPart = await deflated(text);
  const written: WrittenHeader = {
    ...rest,
    labels: [...labels],
    recordBytes: recordPart.length,
    pageBytes: pages.length,
  };
  const header = Buffer.from(JSON.stringify(written));
  const lengths = Buffer.alloc(HEADER_AT - VERSION_AT);
  lengths.writeUInt32LE(VERSION, 0);
  lengths.writeUInt32LE(header.length, HEADER_LENGTH_AT - VERSION_AT);
  const parts = [MAGIC, lengths, header, recordPart, pages, Buffer.alloc(MAC_BYTES)];
  const bytes = Buffer.concat(parts);
  const end = bytes.length - MAC_BYTES;
  bytes.set(await macOf(bytes.subarray(0, end), seal), end);
  return bytes;
}

/**
 * Reads what `sealSnapshot` wrote.
 *
 * @param engineDigest of the engine that is to run it
 * @throws SessionError SNAPSHOT_INVALID, SNAPSHOT_INCOMPATIBLE
 */
export async function openSnapshot(bytes: Uint8Array, seal: Seal, engineDigest: string): Promise<SnapshotFile> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = file.length - MAC_BYTES;
  if (end < HEADER_AT || !file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new SessionError("SNAPSHOT_INVALID", "these bytes are no snapshot; send what ExportSnapshot gave");
  }
  if (!timingSafeEqual(await macOf(file.subarray(0, end), seal), file.subarray(end))) {
    const message =
      "the snapshot is incomplete, was changed, or comes from a server with another key; send all that ExportSnapshot gave, in its order, to a server that is started with the same --key-file";
    throw new SessionError("SNAPSHOT_INVALID", message);
  }
  const version = file.readUInt32LE(VERSION_AT);
  if (version !== VERSION) {
    const message = `the snapshot has format version ${version}, and this server reads version ${VERSION}`;
    throw new SessionError("SNAPSHOT_INCOMPATIBLE", `${message}; restore it with the server that made it`);
  }
  const recordAt = HEADER_AT + file.readUInt32LE(HEADER_LENGTH_AT);
  const { recordBytes, pageBytes, labels, ...header } = JSON.parse(
    file.toString("utf8", HEADER_AT, recordAt),
  ) as WrittenHeader;
  if (header.engineDigest !== engineDigest) {
    const message = `the snapshot was made by engine build ${header.engineDigest}, and this server runs ${engineDigest}`;
    throw new SessionError("SNAPSHOT_INCOMPATIBLE", `${message}; restore it with the server that made it`, {
      ids: { snapshot_id: header.snapshotId },
    });
  }
  const pagesAt = recordAt + recordBytes;
  const record = await inflated(file.subarray(recordAt, pagesAt), { maxOutputLength: RECORD_BYTES });
  const pages = file.subarray(pagesAt, pagesAt + pageBytes);
  return { ...header, labels: new Map(labels), record: readText(record.toString()) as SessionRecord, pages };
}

function tooLarge(size: number, sessionId: string): SessionError {
  const message = `what the session has in flight takes ${size} bytes, and a snapshot may have ${RECORD_BYTES} of it; let it take the answers of its host functions first, or end some executions`;
  return new SessionError("QUOTA_EXCEEDED", message, { ids: { session_id: sessionId } });
}

async function macOf(bytes: Uint8Array, { key, tenant }: Seal): Promise<Buffer> {
  const of = Buffer.from(tenant);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(of.length);
  const mac = createHmac("sha256", key).update(length).update(of);
  for (let at = 0; at < bytes.length; at += HASHED_AT_ONCE) {
    if (at > 0) await nextTick();
    mac.update(bytes.subarray(at, at + HASHED_AT_ONCE));
  }
  return mac.digest();
}
