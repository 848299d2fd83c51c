/** A session's memory set aside, so that it can be put back later: of an execution that is undone whole. */
import type { SessionMemory } from "./session-memory.js";
import {
  type CheckpointExtent,
  createCheckpointBuffer,
  restoreCheckpoint,
  takeCheckpoint,
} from "./worker/checkpoint.js";
import type { Layout } from "./worker/layout.js";

/** Opaque; dropped when it is no longer needed. */
export interface SessionImage {
  readonly pages: SharedArrayBuffer;
  readonly extent: CheckpointExtent;
  readonly heapBytes: number;
  readonly handles: number;
}

/** No turn of the session may be on its way. */
export function saveImage(session: SessionMemory, layout: Layout): SessionImage {
  const pages = createCheckpointBuffer(session.memory.buffer.byteLength);
  const extent = takeCheckpoint(session.memory, layout, pages);
  return { pages, extent, heapBytes: session.heapBytes, handles: session.handles };
}

/**
 * No turn of the session may be on its way.
 *
 * @returns the memory that holds the session now
 */
export function restoreImage(session: SessionMemory, image: SessionImage, layout: Layout): WebAssembly.Memory {
  // A checkpoint that a worker took after its last turn is one of pages that are gone.
  session.posted++;
  session.heapBytes = image.heapBytes;
  session.handles = image.handles;
  return restoreCheckpoint(session.memory, image.pages, image.extent, layout, session.maximumPages);
}
