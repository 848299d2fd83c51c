/** Room on the main thread: for what a session was in the middle of, wherever that goes on, and for labels. */
import { HeapShare, type MainHeap } from "../engine/main-heap.js";
import { SessionError } from "./errors.js";
import { sizeOfCall } from "./host-calls.js";
import { sizeOfLent } from "./lent-size.js";
import { sizeOfReply } from "./replies.js";
import type { SessionRecord } from "./session-record.js";

const FULL = "the server keeps as much of all sessions as it may";

type KeptRecord = Pick<SessionRecord, "replies" | "hostFunctions">;

/**
 * Takes room for what is kept of a record, until what this gives is called: then sessions keep it that are made of it, or are put back.
 *
 * @param sessions that are to keep it, each
 * @param former what a session keeps until it keeps this
 * @throws SessionError QUOTA_EXCEEDED
 */
export function takeRoomFor(heap: MainHeap, record: KeptRecord, sessions = 1, former?: KeptRecord): () => void {
  const bytes = sizeOf(record);
  const more = sessions * bytes - (former === undefined ? 0 : sizeOf(former));
  const share = new HeapShare(heap);
  if (more > 0) {
    if (!share.hasRoomFor(more, bytes)) {
      const what = "the calls that were open here and the names of host functions";
      throw new SessionError("QUOTA_EXCEEDED", `${FULL}, and has no room for ${what}; delete sessions`);
    }
    share.change(more);
  }
  return () => share.end();
}

function sizeOf({ replies, hostFunctions: { names, calls } }: KeptRecord): number {
  const sizes = [...replies.map(({ result }) => sizeOfReply(result)), ...calls.map(({ text }) => sizeOfCall(text))];
  return sizes.reduce((sum, size) => sum + size, sizeOfLent(names));
}

/**
 * Labels of sessions in memory are part of what the main thread keeps of them.
 *
 * @param all bytes of these labels, of which so many are more than there were
 * @throws SessionError QUOTA_EXCEEDED
 */
export function checkRoomForLabels(share: HeapShare, bytes: number, all: number): void {
  if (share.hasRoomFor(bytes, all)) return;
  throw new SessionError("QUOTA_EXCEEDED", `labels: ${FULL}; give fewer or shorter ones, or delete sessions`);
}
