/** The thread of the database. What arrives while a transaction is under way goes into the next one together. */
import { parentPort, workerData } from "node:worker_threads";
import type { Answer, Call, Failure, ThreadMessage, ThreadRequest, ThreadSetup } from "./calls.js";
import { Database } from "./database.js";
import { makeDirectory } from "./directory.js";
import { isSmall, packedApart } from "./packing.js";
import { type StoredCommit, StoreError } from "./store.js";

/** What one transaction may take, so that nobody waits for too much that is not his. */
const CALLS_AT_ONCE = 256;
const BYTES_AT_ONCE = 16 * 1024 * 1024;

if (parentPort === null) throw new Error("thread.js is the entry of a worker thread");
const port = parentPort;
const { directory, keyId } = workerData as ThreadSetup;

const waiting: ThreadCall[] = [];
let closing = false;
/** Calls that wait for a commit of the same session to be packed, by its id: those of one session take effect in their order. */
const held = new Map<string, ThreadCall[]>();

try {
  serve(await open());
} catch (error) {
  if (!(error instanceof StoreError)) throw error;
  say({ type: "refused", failure: failureOf(error) });
}

async function open(): Promise<Database> {
  // Before the directory is made: what cannot be kept should leave nothing behind.
  const { default: library } = await import("libsql").catch(missingLibrary);
  makeDirectory(directory);
  return new Database(library, directory, keyId);
}

function missingLibrary(error: unknown): never {
  const platform = `${process.platform} ${process.arch}`;
  const advice = "run npm ci again, or keep nothing on disk with --data none";
  throw new StoreError(
    "broken",
    `SQLite (the package libsql) is not installed for ${platform}: ${reasonOf(error)}; ${advice}`,
  );
}

function reasonOf(error: unknown): string {
  const [line = ""] = String(error instanceof Error ? error.message : error).split("\n");
  return line;
}

function serve(database: Database): void {
  let scheduled = false;
  const next = (): void => {
    scheduled = false;
    const taken = take();
    const answers = database.run(taken.map(({ call }) => call));
    for (const [index, answer] of answers.entries()) {
      const number = taken[index]?.number;
      if (number !== undefined) say({ type: "answer", number, answer }, transferable(answer));
    }
    schedule();
  };
  const accept = (request: ThreadCall): void => {
    const behind = held.get(sessionOf(request.call) ?? "");
    if (behind !== undefined) behind.push(request);
    else if (isLarge(request.call)) packApart(request.number, request.call);
    else waiting.push(request);
  };
  const packApart = (number: number, { commit, ...rest }: CommitCall): void => {
    const { sessionId } = commit.session;
    const behind: ThreadCall[] = [];
    held.set(sessionId, behind);
    packedApart(commit.delta)
      .then((delta) => waiting.push({ number, call: { ...rest, commit: { ...commit, delta }, isPacked: true } }))
      .catch((error: unknown) => say({ type: "answer", number, answer: { failed: "full", message: reasonOf(error) } }))
      .finally(() => {
        held.delete(sessionId);
        for (const each of behind) accept(each);
        schedule();
      });
  };
  // Not at once: all that has arrived is delivered before.
  const schedule = (): void => {
    if (scheduled) return;
    if (waiting.length > 0) {
      scheduled = true;
      setImmediate(next);
    } else if (closing && held.size === 0) {
      // The end of the thread closes the database: its statements hold it open until then.
      port.close();
    }
  };
  port.on("message", (request: ThreadRequest) => {
    if ("close" in request) closing = true;
    else accept(request);
    schedule();
  });
  say({ type: "open" });
}

function take(): typeof waiting {
  let bytes = 0;
  let count = 0;
  for (const { call } of waiting) {
    bytes += bytesOf(call);
    if (count === CALLS_AT_ONCE || (count > 0 && bytes > BYTES_AT_ONCE)) break;
    count++;
  }
  return waiting.splice(0, count);
}

type ThreadCall = Extract<ThreadRequest, { call: Call }>;
type CommitCall = Extract<Call, { name: "commit" }>;

/** The id that a call is about; undefined where it is about many. Ids of snapshots count as others do. */
function sessionOf(call: Call): string | undefined {
  if ("id" in call) return call.id;
  switch (call.name) {
    case "addDurable":
      return call.item.sessionId;
    case "commit":
      return call.commit.session.sessionId;
    case "rebase":
      return call.base.sessionId;
    default:
      return undefined;
  }
}

function isLarge(call: Call): call is CommitCall {
  return call.name === "commit" && !isSmall(call.commit.delta);
}

function bytesOf(call: Call): number {
  switch (call.name) {
    case "put":
    case "addDurable":
      return call.image.byteLength;
    case "commit":
      return bytesOfCommit(call.commit);
    case "rebase":
      return call.base.image.byteLength;
    default:
      return 0;
  }
}

/** Texts are told by their length, which is near enough. */
function bytesOfCommit({ delta, outcomes, parts }: StoredCommit): number {
  const texts = outcomes.reduce((sum, { outcome }) => sum + outcome.length, 0);
  return delta.byteLength + parts.reduce((sum, { text }) => sum + text.length, texts);
}

function transferable(answer: Answer): ArrayBuffer[] {
  if (!("value" in answer) || typeof answer.value !== "object") return [];
  if (answer.value instanceof Uint8Array) return [answer.value.buffer];
  if (!("deltas" in answer.value)) return [];
  return [answer.value.image, ...answer.value.deltas].map(({ buffer }) => buffer);
}

function failureOf({ kind, message }: StoreError): Failure {
  return { failed: kind, message };
}

function say(message: ThreadMessage, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
