/** SandboxService: execute, call, inspect, release. */
import type {
  Execution as ExecutionMessage,
  InspectRequest,
  InspectResponse,
  Limits as LimitsMessage,
  ReleaseHandlesRequest,
  SandboxServiceServer,
} from "@livescope/proto";
import type { Logger } from "pino";
import { invalid, unimplemented } from "../session/errors.js";
import type { CommandOptions, Execution } from "../session/execution.js";
import { DEFAULT_LIMITS, type Limits, MAXIMUM_LIMITS } from "../session/limits.js";
import type { HandleDescription } from "../session/outcome.js";
import type { Sessions } from "../session/sessions.js";
import { callCommand, checkedPath, checkedText, executeCommand } from "./commands.js";
import { durationOf } from "./time.js";
import { type CallContext, type Handler, unary } from "./unary.js";
import { refuseStream } from "./unbuilt.js";
import { checkedHandleId, executionMessage } from "./values.js";

const HANDLE_IDS = 10_000;
const PROPERTIES = { unset: 100, most: 1_000 };

export interface ServerFacts {
  readonly version: string;
  readonly engineDigest: string;
}

export function sandboxService(sessions: Sessions, facts: ServerFacts, logger: Logger): SandboxServiceServer {
  const handle = <Request, Response>(handler: Handler<Request, Response>) => unary(handler, logger);
  return {
    execute: handle(async (request, context) => {
      sessions.checkNotDraining();
      const { sessionId } = request;
      const { command, options } = executeCommand(request, context);
      const execution =
        sessionId === undefined
          ? await sessions.executeAlone(command, options)
          : sessions.get(sessionId).submit(command, options);
      return answered(execution, options, context);
    }),
    call: handle((request, context) => {
      sessions.checkNotDraining();
      const { command, options } = callCommand(request, context);
      return answered(sessions.get(request.sessionId).submit(command, options), options, context);
    }),
    render: handle(() => {
      throw unimplemented("Render");
    }),
    run: (stream) => refuseStream(stream, "Run", logger),
    connect: (stream) => refuseStream(stream, "Connect", logger),
    cancelExecution: handle((request) => {
      checkedText(request.executionId, "execution_id");
      if (request.executionId === "") throw invalid("execution_id", "must not be empty");
      if (request.sessionId === "") sessions.cancelAlone(request.executionId);
      else sessions.get(request.sessionId).cancel(request.executionId);
      return {};
    }),
    inspect: handle((request) => inspect(sessions, request)),
    releaseHandles: handle(async (request) => ({ releasedCount: BigInt(await release(sessions, request)) })),
    getServerInfo: handle(() => ({
      version: facts.version,
      engineDigest: facts.engineDigest,
      defaultLimits: limitsMessage(DEFAULT_LIMITS),
      maximumLimits: limitsMessage(MAXIMUM_LIMITS),
    })),
  };
}

/** Without a request id nobody can ask again, so an execution whose caller is gone is ended. */
function answered(
  execution: Execution,
  { requestId, encoding }: CommandOptions,
  context: CallContext,
): Promise<{ execution: ExecutionMessage }> {
  if (requestId === "") context.onCancelled(() => execution.cancel());
  return execution.outcome.then((outcome) => ({ execution: executionMessage(outcome, encoding) }));
}

interface InspectionText {
  readonly handle: HandleDescription;
  readonly properties: readonly {
    readonly name: string;
    readonly type: string;
    readonly preview: string;
    readonly accessor: boolean;
    readonly enumerable: boolean;
    readonly value?: string;
  }[];
  readonly truncated: boolean;
}

async function inspect(sessions: Sessions, request: InspectRequest): Promise<InspectResponse> {
  const { maxProperties, handleId, path } = request;
  if (maxProperties < 0) throw invalid("max_properties", "must not be negative");
  const text = await sessions.get(request.sessionId).inspect({
    handleId: handleId === undefined ? undefined : checkedHandleId(handleId, "handle_id"),
    path: path === "" ? undefined : checkedPath(path),
    maximumProperties: Math.min(maxProperties || PROPERTIES.unset, PROPERTIES.most),
  });
  const { handle, properties, truncated } = JSON.parse(text) as InspectionText;
  return {
    handle: { ...handle, handleId: path === "" && handleId !== undefined ? handleId : "" },
    properties: properties.map(({ value, ...property }) => ({
      ...property,
      value: value === undefined ? undefined : { kind: { $case: "data", value } },
    })),
    truncated,
  };
}

async function release(sessions: Sessions, request: ReleaseHandlesRequest): Promise<number> {
  const { handleIds, handleGroup, all } = request;
  if (handleIds.length > HANDLE_IDS) throw invalid("handle_ids", `may have at most ${HANDLE_IDS} elements`);
  if (handleIds.length === 0 && handleGroup === undefined && !all) {
    throw invalid("handle_ids", "name what to release: handle_ids, a handle_group, or all");
  }
  return sessions.get(request.sessionId).releaseHandles({
    all,
    handleGroup: handleGroup === undefined ? undefined : checkedText(handleGroup, "handle_group"),
    handleIds: handleIds.map((id, i) => checkedHandleId(id, `handle_ids[${i}]`)),
  });
}

export function limitsMessage(limits: Limits): LimitsMessage {
  return {
    memoryBytes: BigInt(limits.memoryBytes),
    timeout: durationOf(limits.timeout),
    cpuTime: durationOf(limits.cpuTime),
    consoleBytes: BigInt(limits.consoleBytes),
    valueBytes: BigInt(limits.valueBytes),
    handles: BigInt(limits.handles),
    queuedExecutions: BigInt(limits.queuedExecutions),
  };
}
