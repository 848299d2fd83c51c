/** SandboxService: execute, call, inspect, release. */
import {
  CallResponse,
  type Command,
  ExecuteResponse,
  type Execution as ExecutionMessage,
  encoded,
  type InspectRequest,
  type InspectResponse,
  type Limits as LimitsMessage,
  type ReleaseHandlesRequest,
  type SandboxServiceServer,
  SandboxServiceService,
} from "@livescope/proto";
import { invalid } from "../session/errors.js";
import { DEFAULT_LIMITS, type Limits, MAXIMUM_LIMITS } from "../session/limits.js";
import type { HandleDescription } from "../session/outcome.js";
import type { Sessions } from "../session/sessions.js";
import { cancelExecution } from "./cancel.js";
import { checkedPath } from "./commands.js";
import { CONNECT_METHOD, connect } from "./connect.js";
import { render } from "./render.js";
import { run } from "./run.js";
import type { Serving } from "./serving.js";
import { Slices } from "./slices.js";
import { outcomeFor } from "./submit.js";
import { durationOf } from "./time.js";
import { type CallContext, type Handler, unary } from "./unary.js";
import { checkedHandleId, checkedText } from "./values.js";

const HANDLE_IDS = 10_000;
const PROPERTIES = { unset: 100, most: 1_000 };

export interface ServerFacts {
  readonly version: string;
  readonly engineDigest: string;
}

export const SANDBOX_SERVICE = {
  ...SandboxServiceService,
  connect: CONNECT_METHOD,
  // Their answers may be large, and the generated code makes one copy more.
  execute: {
    ...SandboxServiceService.execute,
    responseSerialize: (response: ExecuteResponse) => encoded(ExecuteResponse, response),
  },
  call: {
    ...SandboxServiceService.call,
    responseSerialize: (response: CallResponse) => encoded(CallResponse, response),
  },
};

export function sandboxService(sessions: Sessions, facts: ServerFacts, serving: Serving): SandboxServiceServer {
  const slices = new Slices();
  const answer = async (
    command: Command["command"],
    context: CallContext,
  ): Promise<{ execution: ExecutionMessage }> => ({ execution: await outcomeFor(sessions, command, context) });
  const handle = <Request, Response>(handler: Handler<Request, Response>) => unary(handler, serving);
  return {
    execute: handle((request, context) => answer({ $case: "execute", value: request }, context)),
    call: handle((request, context) => answer({ $case: "call", value: request }, context)),
    render: handle((request, context) => render(sessions, request, context)),
    run: (stream) => void run(sessions, stream, serving.logger),
    connect: (stream) => connect(sessions, stream, slices, serving),
    cancelExecution: handle(async (request) => {
      await cancelExecution(sessions, request);
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
  const text = await sessions.use(request.sessionId, (session) =>
    session.inspect({
      handleId: handleId === undefined ? undefined : checkedHandleId(handleId, "handle_id"),
      path: path === "" ? undefined : checkedPath(path),
      maximumProperties: Math.min(maxProperties || PROPERTIES.unset, PROPERTIES.most),
    }),
  );
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
  return sessions.use(request.sessionId, (session) =>
    session.releaseHandles({
      all,
      handleGroup: handleGroup === undefined ? undefined : checkedText(handleGroup, "handle_group"),
      handleIds: handleIds.map((id, i) => checkedHandleId(id, `handle_ids[${i}]`)),
    }),
  );
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
