/** What the frames of a Connect client do, kind by kind. */
import type { ClientFrame } from "@livescope/proto";
import { invalid } from "../session/errors.js";
import type { Connection } from "./connection.js";

type Frame = NonNullable<ClientFrame["frame"]>;
type ValueOf<Case extends Frame["$case"]> = Extract<Frame, { readonly $case: Case }>["value"];

interface FrameKind<Value> {
  /** It is about the command whose frame_id it carries, and has no id of its own. */
  readonly refersToCommand: (value: Value) => boolean;
  /** @throws SessionError which becomes the `status` that answers the frame */
  readonly handle: (connection: Connection, frameId: bigint, value: Value) => void;
}

const hasOwnId = (): boolean => false;

const FRAMES: { readonly [Case in Frame["$case"]]: FrameKind<ValueOf<Case>> } = {
  command: {
    refersToCommand: hasOwnId,
    handle: (connection, frameId, command) => connection.begin(frameId, command),
  },
  cancel: {
    refersToCommand: ({ executionId }) => executionId === "",
    handle: (connection, frameId, request) => {
      if (request.executionId === "") connection.command(frameId)?.cancel();
      else connection.cancel(frameId, request);
    },
  },
  credit: {
    refersToCommand: () => true,
    handle: (connection, frameId, credit) => connection.command(frameId)?.allow(credit),
  },
  expose: {
    refersToCommand: hasOwnId,
    handle: (connection, frameId, request) => connection.expose(frameId, request),
  },
  hostResult: {
    refersToCommand: hasOwnId,
    handle: (connection, _, result) => connection.hostFunctions.result(result),
  },
  releaseHostFunctionId: {
    refersToCommand: hasOwnId,
    handle: (connection, _, hostFunctionId) => connection.hostFunctions.forget(hostFunctionId),
  },
};

/** @throws SessionError which becomes the `status` that answers the frame */
export function handleFrame(connection: Connection, { frameId, frame }: ClientFrame): void {
  if (frameId === 0n) throw invalid("frame_id", "must not be 0: frames are numbered from 1");
  const kind = frame === undefined ? undefined : (FRAMES[frame.$case] as FrameKind<Frame["value"]>);
  const isNew = frame === undefined || kind?.refersToCommand(frame.value) === false;
  if (isNew && !connection.takeFrameId(frameId)) {
    throw invalid("frame_id", "must be above that of every frame before it");
  }
  if (frame === undefined) throw invalid("frame", "must be set: say what you want");
  kind?.handle(connection, frameId, frame.value);
}
