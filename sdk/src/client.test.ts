import { createServer } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import {
  type CallRequest,
  type CancelExecutionRequest,
  type ClientFrame,
  type ConnectRequest,
  type ConnectResponse,
  ConsoleEntry,
  ConsoleLevel,
  type CreateSessionRequest,
  type DeleteSessionRequest,
  Encoding,
  type ExecuteRequest,
  Execution,
  GetServerInfoResponse,
  type ListSessionsRequest,
  type ReleaseHandlesRequest,
  type RunRequest,
  type RunResponse,
  SandboxServiceService,
  type ServerFrame,
  SessionServiceService,
  type Value,
  Session as WireSession,
} from "@livescope/proto";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import {
  ConnectionLostError,
  DisposedError,
  type ExecutionPromise,
  GuestError,
  Handle,
  Livescope,
  LivescopeError,
  Preview,
  type Session,
  StatusError,
  UnavailableError,
} from "./index.js";

/** Which way executions travel in this run; see vitest.config.ts. */
const transport = process.env.TEST_TRANSPORT === "unary" ? "unary" : "connect";

/** What the server of these tests is told, and how it answers. */
class Answers {
  readonly requests: [method: string, request: unknown][] = [];
  execute: (request: ExecuteRequest) => Promise<Value> | Value = () => ({});
  call: (request: CallRequest) => Promise<Value> | Value = () => ({});
  console: ConsoleEntry[] = [];
  release: () => Promise<void> = async () => undefined;
  /** Takes calls of Run, where there are to be any. */
  run: ((call: ServerWritableStream<RunRequest, RunResponse>) => void) | undefined;
  /** What a client that exposes something is known by. */
  connectionId = "";
  readonly streams: ServerDuplexStream<ConnectRequest, ConnectResponse>[] = [];

  of<Request>(method: string): Request[] {
    return this.requests.filter(([name]) => name === method).map(([, request]) => request as Request);
  }
}

const json = (value: unknown): Value => ({ kind: { $case: "json", value: JSON.stringify(value) } });
const handleOf = (handleId: string): Value => ({
  kind: { $case: "handle", value: { handleId, type: "function", className: "Function", preview: "ƒ", arity: 1 } },
});
const failure = (code: status) => Object.assign(new Error("failed"), { code, details: "failed" }) as ServiceError;
const withValue = (requestId: string, console: ConsoleEntry[], value: Value): Execution => ({
  ...Execution.create({ executionId: requestId }),
  console,
  outcome: { $case: "value", value },
});

/** Answers a frame as the unary RPCs would be. */
function answerFrame(
  answers: Answers,
  stream: ServerDuplexStream<ConnectRequest, ConnectResponse>,
  { frameId, frame }: ClientFrame,
): void {
  if (frame?.$case === "expose") answers.connectionId = frame.value.connectionId;
  if (frame?.$case !== "command") {
    answers.requests.push([frame?.$case ?? "nothing", frameId]);
    return;
  }
  const { command } = frame.value;
  if (command?.$case !== "execute" && command?.$case !== "call") return;
  answers.requests.push([command.$case, command.value]);
  Promise.resolve()
    .then(() => (command.$case === "execute" ? answers.execute(command.value) : answers.call(command.value)))
    .then(
      (value) => {
        const finished = withValue(command.value.requestId, answers.console, value);
        const event = { executionId: finished.executionId, event: { $case: "finished", value: finished } } as const;
        stream.write({ frames: [{ frameId, frame: { $case: "event", value: event } }] });
      },
      ({ code, message }: ServiceError) =>
        stream.write({ frames: [{ frameId, frame: { $case: "status", value: { code, message, details: [] } } }] }),
    );
}

async function startFake(answers: Answers): Promise<{ server: Server; address: string }> {
  const server = new Server();
  const answer =
    <Request, Response>(name: string, make: (request: Request) => Promise<Response> | Response) =>
    (call: { request: Request }, callback: (error: ServiceError | null, response?: Response) => void) => {
      answers.requests.push([name, call.request]);
      Promise.resolve()
        .then(() => make(call.request))
        .then(
          (response) => callback(null, response),
          (error) => callback(error),
        );
    };
  server.addService(SandboxServiceService, {
    execute: answer("execute", async (request: ExecuteRequest) => ({
      execution: withValue(request.requestId, answers.console, await answers.execute(request)),
    })),
    call: answer("call", async (request: CallRequest) => ({
      execution: withValue(request.requestId, answers.console, await answers.call(request)),
    })),
    connect: (stream: ServerDuplexStream<ConnectRequest, ConnectResponse>) => {
      answers.streams.push(stream);
      stream.on("data", ({ frames }) => {
        for (const frame of frames) answerFrame(answers, stream, frame);
      });
      stream.on("end", () => stream.end());
    },
    run: (call: ServerWritableStream<RunRequest, RunResponse>) =>
      answers.run === undefined ? call.emit("error", failure(status.UNIMPLEMENTED)) : answers.run(call),
    cancelExecution: answer("cancel", () => ({})),
    releaseHandles: answer("release", async () => {
      await answers.release();
      return { releasedCount: 1n };
    }),
    getServerInfo: answer("info", () => GetServerInfoResponse.create({ version: "1" })),
  });
  server.addService(SessionServiceService, {
    createSession: answer("create", ({ sessionId }: CreateSessionRequest) => ({
      session: WireSession.create({ sessionId: sessionId || "made" }),
    })),
    deleteSession: answer("delete", () => ({})),
    listSessions: answer("list", ({ pageToken }: ListSessionsRequest) => ({
      sessions: [WireSession.create({ sessionId: `s${pageToken}`, labels: new Map([["__proto__", "x"]]) })],
      nextPageToken: pageToken === "" ? "2" : "",
    })),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { server, address: `127.0.0.1:${port}` };
}

let answers: Answers;
let server: Server;
let address: string;
let client: Livescope;

beforeEach(async () => {
  answers = new Answers();
  ({ server, address } = await startFake(answers));
  client = await Livescope.connect(address, { transport });
});

afterEach(() => {
  client.close();
  server.forceShutdown();
});

describe("connecting", () => {
  it("fails where nothing listens", async () => {
    const attempt = Livescope.connect("127.0.0.1:1");
    await expect(attempt).rejects.toThrow(UnavailableError);
    await expect(attempt).rejects.toThrow("no livescope server answers at 127.0.0.1:1");
  });

  it("fails within connectTimeout where something else listens", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => silent.once("listening", resolve));
    const { port } = silent.address() as { port: number };
    const attempt = Livescope.connect(`127.0.0.1:${port}`, { connectTimeout: 200 });
    await expect(attempt).rejects.toMatchObject({ name: "UnavailableError", cause: { code: "DEADLINE_EXCEEDED" } });
    silent.close();
  });

  it("fails where the service is another", async () => {
    const other = new Server();
    const port = await new Promise<number>((resolve) => {
      other.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound));
    });
    await expect(Livescope.connect(`127.0.0.1:${port}`)).rejects.toThrow(UnavailableError);
    other.forceShutdown();
  });

  it("is over after close", async () => {
    const session = client.attach("s");
    client.close();
    await expect(client.serverInfo()).rejects.toThrow(LivescopeError);
    await expect(session.execute("1")).rejects.toThrow("the client is closed");
  });
});

describe("a request", () => {
  it("carries what was asked for", async () => {
    const session = client.attach("s");
    answers.execute = () => json({ a: 1 });
    const options = { bindings: { x: 1, u: undefined }, filename: "a.js", timeout: 200, limits: { cpuTime: 50 } };
    await expect(session.execute("x", options)).resolves.toStrictEqual({ a: 1 });
    const [request] = answers.of<ExecuteRequest>("execute");
    expect(request).toMatchObject({
      sessionId: "s",
      code: "x",
      filename: "a.js",
      limits: { timeout: { nanos: 200_000_000 }, cpuTime: { nanos: 50_000_000 } },
      encoding: Encoding.FULL,
      requestId: transport === "unary" ? expect.stringMatching(/^[0-9a-f-]{36}$/) : "",
      handleGroup: expect.stringMatching(/./),
    });
    expect([...(request?.bindings ?? [])]).toStrictEqual([
      ["x", json(1)],
      ["u", { kind: undefined }],
    ]);
  });

  it("is written when it is asked for, not when it is sent", async () => {
    const args = [{ n: 1 }];
    const result = client.attach("s").call("f", args);
    args[0] = { n: 2 };
    await result;
    expect(answers.of<CallRequest>("call")[0]?.args).toStrictEqual([json({ n: 1 })]);
  });

  it("has no session without one", async () => {
    answers.execute = () => handleOf("");
    const value = await client.execute("() => 1");
    expect(value).toBeInstanceOf(Preview);
    expect(value).not.toBeInstanceOf(Handle);
    expect(answers.of<ExecuteRequest>("execute")[0]?.sessionId).toBeUndefined();
  });

  it("is repeated with the same id while the server is unavailable, and no more than three times", async () => {
    answers.execute = () => {
      if (answers.of("execute").length < 4) throw failure(status.UNAVAILABLE);
      return json(1);
    };
    const requestId = crypto.randomUUID();
    await expect(client.attach("s").execute("1", { requestId })).resolves.toBe(1);
    expect(new Set(answers.of<ExecuteRequest>("execute").map((request) => request.requestId)).size).toBe(1);
    answers.call = () => {
      throw failure(status.UNAVAILABLE);
    };
    await expect(client.attach("s").call("f", [], { requestId })).rejects.toThrow(UnavailableError);
    expect(answers.of("call")).toHaveLength(4);
  });

  it.runIf(transport === "connect")(
    "is not repeated without an id: the server may not know what became of it",
    async () => {
      answers.execute = () => {
        throw failure(status.UNAVAILABLE);
      };
      await expect(client.attach("s").execute("1")).rejects.toThrow(UnavailableError);
      expect(answers.of("execute")).toHaveLength(1);
    },
  );

  it.each([1, 2 * 1024 * 1024])(
    "is repeated with the same id where the server resets it without an answer, %i bytes of it",
    async (bytes) => {
      answers.execute = () => (answers.of("execute").length < 2 ? new Promise(() => undefined) : json(1));
      const requestId = crypto.randomUUID();
      const options = { requestId, bindings: { text: "x".repeat(bytes) } };
      const result = client.attach("s").execute("1", options);
      await expect.poll(() => answers.of("execute")).toHaveLength(1);
      // As one does that stops: what was begun before has some time yet, and what comes now has a connection of its own.
      server.drain(address, 100);
      await client.listSessions().next();
      await expect(result).resolves.toBe(1);
      expect(answers.of<ExecuteRequest>("execute").map((request) => request.requestId)).toEqual([requestId, requestId]);
    },
  );

  it("is not repeated for any other failure", async () => {
    answers.execute = () => {
      throw failure(status.INTERNAL);
    };
    await expect(client.attach("s").execute("1")).rejects.toMatchObject({ name: "StatusError", code: "INTERNAL" });
    expect(answers.of("execute")).toHaveLength(1);
  });

  it("is given up when no answer comes, some time after its timeout", async () => {
    answers.execute = () => new Promise(() => undefined);
    await expect(client.attach("s").execute("1", { timeout: 100 })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
  });

  it("ends with the reason of its signal, and its execution is cancelled", async () => {
    answers.execute = () => new Promise(() => undefined);
    const abort = new AbortController();
    const result = client.attach("s").execute("1", { signal: abort.signal });
    await expect.poll(() => answers.of("execute")).toHaveLength(1);
    const reason = new Error("changed my mind");
    abort.abort(reason);
    await expect(result).rejects.toBe(reason);
    await expect.poll(() => answers.of("cancel")).toHaveLength(1);
    const [{ requestId } = {}] = answers.of<ExecuteRequest>("execute");
    const ended = transport === "unary" ? { sessionId: "s", executionId: requestId } : 1n;
    expect(answers.of<CancelExecutionRequest | bigint>("cancel")).toStrictEqual([ended]);
  });

  it("is not sent at all if its signal is aborted already", async () => {
    const signal = AbortSignal.abort("no");
    await expect(client.attach("s").execute("1", { signal })).rejects.toBe("no");
    await expect(client.createSession({ signal })).rejects.toBe("no");
    expect(answers.of("execute")).toHaveLength(0);
    expect(answers.of("cancel")).toHaveLength(0);
  });

  it("is refused with what cannot be sent, by a rejection", async () => {
    const session = client.attach("s");
    await expect(session.call("f", [[() => 1]])).rejects.toThrow(TypeError);
    await expect(session.execute("1", { timeout: 0 })).rejects.toThrow(RangeError);
    await expect(client.createSession({ idleTtl: -1 })).rejects.toThrow(RangeError);
    await expect(client.serverInfo({ timeout: 0 })).rejects.toThrow(RangeError);
    expect(answers.of("execute")).toHaveLength(0);
  });
});

describe.runIf(transport === "connect")("a stream", () => {
  it("carries all calls, those of one tick in one message", async () => {
    answers.call = ({ args }) => args[0] ?? {};
    const session = client.attach("s");
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    expect(await Promise.all(numbers.map((n) => session.call("f", [n])))).toStrictEqual(numbers);
    expect(answers.streams).toHaveLength(1);
  });

  it("that breaks loses what was under way, and says so; what comes next has another", async () => {
    const session = client.attach("s");
    answers.execute = () => new Promise(() => undefined);
    const lost = session.execute("1");
    await expect.poll(() => answers.of("execute")).toHaveLength(1);
    answers.streams[0]?.emit("error", failure(status.UNAVAILABLE));
    await expect(lost).rejects.toThrow(ConnectionLostError);
    await expect(lost).rejects.toThrow("requestId");
    answers.execute = () => json(2);
    expect(await session.execute("2")).toBe(2);
    expect(answers.of("execute")).toHaveLength(2);
  });

  it("that breaks is asked again for what has a request id", async () => {
    const session = client.attach("s");
    answers.execute = () => new Promise(() => undefined);
    const kept = session.execute("1", { requestId: "r" });
    await expect.poll(() => answers.of("execute")).toHaveLength(1);
    answers.execute = () => json(1);
    answers.streams[0]?.emit("error", failure(status.UNAVAILABLE));
    expect(await kept).toBe(1);
    expect(answers.of<ExecuteRequest>("execute").map(({ requestId }) => requestId)).toStrictEqual(["r", "r"]);
  });

  it("that is refused for good is not asked again", async () => {
    const session = client.attach("s");
    answers.execute = () => new Promise(() => undefined);
    const refused = session.execute("1", { requestId: "r" });
    await expect.poll(() => answers.of("execute")).toHaveLength(1);
    answers.streams[0]?.emit("error", failure(status.PERMISSION_DENIED));
    await expect(refused).rejects.toMatchObject({ name: "StatusError", code: "PERMISSION_DENIED" });
    expect(answers.of("execute")).toHaveLength(1);
  });

  it("ends when nothing was under way for a while, so that a process can, and comes again", async () => {
    const session = client.attach("s");
    await session.execute("1");
    const ended = new Promise((resolve) => answers.streams[0]?.on("end", resolve));
    await ended;
    answers.execute = () => json(2);
    expect(await session.execute("2")).toBe(2);
    expect(answers.streams).toHaveLength(2);
  });

  it.each(["when the client is closed", "when nothing was under way for a while"])(
    "is cancelled %s and the server does not end it",
    async (when) => {
      await client.attach("s").execute("1");
      const [stream] = answers.streams;
      stream?.removeAllListeners("end");
      const cancelled = new Promise((resolve) => stream?.once("cancelled", resolve));
      if (when === "when the client is closed") client.close();
      await cancelled;
    },
    // Before the first ping would be missed.
    15_000,
  );

  it("ends also when a function was passed with what was never sent", async () => {
    const session = client.attach("s");
    await session.execute("1");
    const ended = new Promise((resolve) => answers.streams[0]?.on("end", resolve));
    const abort = new AbortController();
    const aborted = session.call("f", [() => 1], { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    await ended;
    expect(answers.of("call")).toHaveLength(0);
  });

  it.each([status.NOT_FOUND, status.DATA_LOSS])(
    "ends when a server that has come back does not know the session that holds functions, by status %i",
    async (code) => {
      await client.attach("s").call("keep", [() => 1]);
      answers.streams[0]?.emit("error", failure(status.UNAVAILABLE));
      await expect.poll(() => answers.of("expose")).toHaveLength(2);
      const stream = answers.streams[1];
      const ended = new Promise((resolve) => stream?.on("end", resolve));
      const [, frameId] = answers.of<bigint>("expose");
      const value = { code, message: "there is no such session", details: [] };
      stream?.write({ frames: [{ frameId: frameId ?? 0n, frame: { $case: "status", value } }] });
      await ended;
    },
  );

  it("exposes again what was not answered yet, however long that had taken", async () => {
    const exposing = client.attach("s").expose({ f: () => 1 });
    exposing.catch(() => undefined);
    await expect.poll(() => answers.of("expose")).toHaveLength(1);
    const { now } = performance;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now.call(performance) + 60_000);
    server.drain(address, 0);
    await expect.poll(() => answers.of("expose")).toHaveLength(2);
    clock.mockRestore();
    const frameId = answers.of<bigint>("expose")[1] ?? 0n;
    const value = { sessionId: "s", names: ["f"], connectionId: answers.connectionId };
    answers.streams[1]?.write({ frames: [{ frameId, frame: { $case: "exposed", value } }] });
    expect((await exposing).names).toEqual(["f"]);
  });

  it.each([undefined, status.INTERNAL, status.RESOURCE_EXHAUSTED])(
    "exposes no more when it breaks again and again before that is answered, by status %s",
    async (code) => {
      let streams = 0;
      const ended = vi.spyOn(answers.streams, "push").mockImplementation((stream) => {
        if (code === undefined) stream?.on("data", () => stream.end());
        else stream?.on("data", () => stream.emit("error", failure(code)));
        return ++streams;
      });
      const exposing = client.attach("s").expose({ f: () => 1 });
      const error = code === status.RESOURCE_EXHAUSTED ? "ResourceExhaustedError" : "ConnectionLostError";
      await expect(exposing).rejects.toMatchObject({ name: error });
      expect(streams).toBe(4);
      ended.mockRestore();
    },
  );

  it("exposes again to a session that the store could not keep for a while", async () => {
    const session = client.attach("s");
    const exposing = session.expose({ f: () => 1 });
    await expect.poll(() => answers.of("expose")).toHaveLength(1);
    const stream = answers.streams[0];
    const say = (frameId: bigint | undefined, frame: NonNullable<ServerFrame["frame"]>) =>
      stream?.write({ frames: [{ frameId: frameId ?? 0n, frame }] });
    const gone = { code: status.UNAVAILABLE, message: "it left memory", details: [] };
    const inPlace = { sessionId: "s", names: ["f"], connectionId: "c" };
    const [first] = answers.of<bigint>("expose");
    say(first, { $case: "exposed", value: inPlace });
    const exposure = await exposing;
    say(first, { $case: "status", value: gone });
    await expect.poll(() => answers.of("expose")).toHaveLength(2);
    // And once more, after a while, where it is still so.
    say(answers.of<bigint>("expose")[1], { $case: "status", value: gone });
    await expect.poll(() => answers.of("expose")).toHaveLength(3);
    say(answers.of<bigint>("expose")[2], { $case: "exposed", value: inPlace });
    expect(await Promise.race([exposure.ended, session.execute("1").then(() => "there")])).toBe("there");
  });

  it("goes on with what is exposed again when another client takes a name over before that is answered", async () => {
    const session = client.attach("s");
    const exposing = [session.expose({ f: () => 1 }), session.expose({ g: () => 2 })];
    await expect.poll(() => answers.of("expose")).toHaveLength(2);
    const stream = answers.streams[0];
    const say = (frameId: bigint | undefined, frame: NonNullable<ServerFrame["frame"]>) =>
      stream?.write({ frames: [{ frameId: frameId ?? 0n, frame }] });
    const { connectionId } = answers;
    const left = (...names: string[]) =>
      ({ $case: "exposed", value: { sessionId: "s", names, connectionId } }) as const;
    const [first, second] = answers.of<bigint>("expose");
    say(first, left("f"));
    say(second, left("f", "g"));
    const [f, g] = await Promise.all(exposing);
    say(second, { $case: "status", value: { code: status.UNAVAILABLE, message: "it left memory", details: [] } });
    await expect.poll(() => answers.of("expose")).toHaveLength(4);
    const [, , again, last] = answers.of<bigint>("expose");
    say(again, left("f"));
    say(0n, left());
    say(last, left("g"));
    expect(await f?.ended).toMatchObject({ reason: "HOST_FUNCTION_TAKEN" });
    expect(await Promise.race([g?.ended, session.execute("1").then(() => "there")])).toBe("there");
  });

  it("ends when the client is closed, after what it was told to end", async () => {
    answers.execute = () => new Promise(() => undefined);
    const session = client.attach("s");
    const first = session.execute("1");
    const kept = session.execute("1", { requestId: "mine" });
    await expect.poll(() => answers.of("execute")).toHaveLength(2);
    const ended = new Promise((resolve) => answers.streams[0]?.on("end", resolve));
    client.close();
    for (const each of [first, kept]) await expect(each).rejects.toThrow(DisposedError);
    await ended;
    // The other one goes on.
    expect(answers.of("cancel")).toEqual([1n]);
  });

  it("carries no request that is too large for a message", async () => {
    const session = client.attach("s");
    const large = session.execute("x".repeat(5_000_000));
    await expect(large).rejects.toMatchObject({ name: "ResourceExhaustedError", code: "RESOURCE_EXHAUSTED" });
    answers.call = ({ args }) => args[0] ?? {};
    const text = "y".repeat(3_000_000);
    const parts = await Promise.all([1, 2, 3].map(() => session.call("f", [text])));
    expect(parts).toStrictEqual([text, text, text]);
  });
});

describe("an execution", () => {
  it("is the value, or all there is to know", async () => {
    answers.execute = () => json(5);
    const running = client.attach("s").execute<number>("5");
    expect(await running).toBe(5);
    const [{ requestId } = {}] = answers.of<ExecuteRequest>("execute");
    expect(await running.execution()).toMatchObject({ executionId: requestId, value: 5, console: [] });
    expect(answers.of("execute")).toHaveLength(1);
  });

  it("whose failure is taken from the whole leaves no rejection unhandled", async () => {
    answers.execute = () => {
      throw failure(status.ABORTED);
    };
    await expect(client.attach("s").execute("1").execution()).rejects.toMatchObject({ code: "ABORTED" });
  });

  it("has ordinary promises behind it", async () => {
    answers.execute = () => json(5);
    expect(
      await client
        .attach("s")
        .execute<number>("5")
        .then((n) => n + 1),
    ).toBe(6);
  });

  it("ends no process where its failure is taken from the value, or from the whole", async () => {
    answers.execute = () => {
      throw failure(status.ABORTED);
    };
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    try {
      const session = client.attach("s");
      const [unused, both, late] = [session.execute("1"), session.execute("1"), session.execute("1")];
      void unused.execution();
      const whole = both.execution();
      await expect(both).rejects.toThrow("failed");
      await expect(whole).rejects.toThrow("failed");
      await expect(late).rejects.toThrow("failed");
      void late.execution();
      await expect(session.execute("1").execution()).rejects.toThrow("failed");
      // Node tells of them when a tick's promises have all had their turn.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off("unhandledRejection", unhandled);
    }
    expect(unhandled).not.toHaveBeenCalled();
  });

  describe("fails with a stack that leads to who awaits", () => {
    const stackOf = async (theCaller: () => Promise<unknown>): Promise<string> => {
      const fail = (): never => {
        throw failure(status.ABORTED);
      };
      answers.execute = fail;
      answers.call = fail;
      const error: unknown = await theCaller().catch((reason) => reason);
      expect(error).toBeInstanceOf(StatusError);
      return (error as Error).stack ?? "";
    };

    it.each<[what: string, theCaller: () => Promise<unknown>]>([
      [
        "the value",
        async function theCaller() {
          return await client.attach("s").execute("1");
        },
      ],
      [
        "the whole execution",
        async function theCaller() {
          return await client.attach("s").execute("1").execution();
        },
      ],
      [
        "several at once",
        async function theCaller() {
          return await Promise.all([client.attach("s").execute("1"), client.attach("s").execute("2")]);
        },
      ],
      [
        "what follows from it",
        async function theCaller() {
          return await client
            .attach("s")
            .execute("1")
            .then((value) => value);
        },
      ],
      [
        "a guest's function",
        async function theCaller() {
          return await client.attach("s").guest<{ f(): number }>().f();
        },
      ],
    ])("%s", async (_what, theCaller) => {
      const stack = await stackOf(theCaller);
      expect(stack).toMatch(/^StatusError: failed\n {4}at /);
      expect(stack).toContain("theCaller");
    });

    it("all of many at once", async () => {
      async function theCaller(): Promise<string[]> {
        const session = client.attach("s");
        const calls = Array.from({ length: 200 }, async () => {
          await session.execute("1");
        });
        const ended = await Promise.allSettled(calls);
        return ended.map((end) => (end as PromiseRejectedResult).reason.stack);
      }
      answers.execute = () => {
        throw failure(status.ABORTED);
      };
      for (const stack of await theCaller()) expect(stack).toContain("theCaller");
    });

    it.runIf(transport === "connect")("each of those whose stream is refused", async () => {
      const session = client.attach("s");
      const never = new Promise<never>(() => undefined);
      answers.execute = () => never;
      const first = async (): Promise<unknown> => await session.execute("1");
      const second = async (): Promise<unknown> => await session.execute("2");
      const third = async (): Promise<unknown> => await session.expose({ f: () => 1 });
      const calls = [first, second, third].map((call) => call().catch((error: unknown) => error));
      await vi.waitUntil(() => answers.of("execute").length === 2);
      answers.streams[0]?.emit("error", failure(status.PERMISSION_DENIED));
      const errors = (await Promise.all(calls)) as Error[];
      expect(errors).toMatchObject(Array(3).fill({ code: "PERMISSION_DENIED", message: "failed" }));
      for (const [index, name] of ["first", "second", "third"].entries()) {
        expect(errors[index]?.stack).toMatch(new RegExp(`\\b${name}\\b`));
      }
    });

    it("who called, where nobody awaits it", async () => {
      // The calls of the tests before are of another time.
      await new Promise((resolve) => setTimeout(resolve, 110));
      answers.execute = () => {
        throw failure(status.ABORTED);
      };
      function theCaller(): Promise<unknown> {
        return new Promise((resolve) => client.attach("s").execute("1").catch(resolve));
      }
      expect(((await theCaller()) as Error).stack).toContain("theCaller");
    });

    it("who called, where its values are taken", async () => {
      async function theCaller(): Promise<void> {
        for await (const _ of client.attach("s").stream("1"));
      }
      expect(await stackOf(theCaller)).toContain("theCaller");
    });

    it("who called, where nothing was sent", async () => {
      const closed = client.attach("s");
      await closed[Symbol.asyncDispose]();
      const theCaller = (): Promise<unknown> => closed.execute("1");
      const error: unknown = await theCaller().catch((reason) => reason);
      expect((error as Error).stack).toContain("theCaller");
    });
  });
});

describe("a function", () => {
  it("is called by its path, with its types", async () => {
    answers.call = (request) => json(request.args.length);
    const session = client.attach("s");
    const add = session.fn<[a: number, b?: number], number>("math.add", { timeout: 100 });
    expect(await add(1, 2)).toBe(2);
    expect(answers.of<CallRequest>("call")[0]).toMatchObject({ path: "math.add", args: [json(1), json(2)] });
  });

  it("has a type", () => {
    // Never run: only its types count.
    (session: Session) => {
      const add = session.fn<[a: number, b?: number], number>("math.add");
      expectTypeOf(add).parameters.toEqualTypeOf<[a: number, b?: number]>();
      expectTypeOf(add).returns.toEqualTypeOf<ExecutionPromise<number>>();
      expectTypeOf(add).toExtend<(a: number) => Promise<number>>();
      expectTypeOf(session.fn<[], Promise<string>>("f")).returns.resolves.toEqualTypeOf<string>();
      expectTypeOf(session.fn("f")).toEqualTypeOf<(...args: unknown[]) => ExecutionPromise<unknown>>();
      expectTypeOf(session.execute("1")).resolves.toBeUnknown();
      expectTypeOf(session.call<number>("f")).resolves.toBeNumber();
      expectTypeOf(session.handle("f")).resolves.toEqualTypeOf<Handle>();
      // @ts-expect-error: the argument is a number
      add("1");
    };
  });
});

describe.runIf(transport === "unary")("a call that is listened to", () => {
  it("is cancelled when it has its answer and the server does not end it", async () => {
    const value = withValue("x", [], json(1));
    const cancelled = new Promise((resolve) => {
      answers.run = (call) => {
        call.on("cancelled", resolve);
        call.write({ event: { executionId: "x", event: { $case: "finished", value } } });
      };
    });
    expect(await client.execute("1", { onConsole: () => undefined })).toBe(1);
    await cancelled;
    // Before the first ping would be missed.
  }, 15_000);
});

describe("an atomic sequence", () => {
  it("is none where the server answers before it has ended", async () => {
    await expect(client.attach("s").atomic(() => 1)).rejects.toBeInstanceOf(LivescopeError);
  });
});

describe("a handle", () => {
  it("calls, constructs and reads what it stands for", async () => {
    const session = client.attach("s");
    answers.execute = ({ encoding }) => (encoding === Encoding.HANDLE ? handleOf("h") : json(1));
    const handle = await session.handle("f");
    expect(handle).toMatchObject({ id: "h", type: "function", preview: "ƒ", arity: 1, released: false });
    expect("then" in handle).toBe(false);
    await handle.call([1]);
    await handle.callMethod("a.b", [], {});
    await handle.fn<[number], number>()(2);
    answers.call = () => handleOf("made");
    expect((await handle.construct([3])).id).toBe("made");
    expect(answers.of<CallRequest>("call")).toMatchObject([
      { handleId: "h", path: "", args: [json(1)], construct: false },
      { handleId: "h", path: "a.b", args: [] },
      { handleId: "h", path: "", args: [json(2)] },
      { handleId: "h", path: "", args: [json(3)], construct: true, encoding: Encoding.HANDLE },
    ]);
    expect(await handle.get('a.0."]')).toBe(1);
    expect(await handle.value()).toBe(1);
    const [, get, value] = answers.of<ExecuteRequest>("execute");
    expect(get?.code).toBe('handle["a"]["0"]["\\"]"]');
    expect(value?.code).toBe("handle");
    expect(get?.bindings.get("handle")?.kind).toMatchObject({ $case: "handle", value: { handleId: "h" } });
  });

  it("is one object for one value, released with the last reference", async () => {
    const session = client.attach("s");
    answers.execute = () => handleOf("h");
    const first = await session.handle("f");
    const second = await session.handle("f");
    expect(second).toBe(first);
    await first.release();
    expect(first.released).toBe(false);
    await second.release();
    expect(first.released).toBe(true);
    await second.release();
    expect(answers.of<ReleaseHandlesRequest>("release")).toMatchObject([
      { sessionId: "s", handleIds: ["h"], all: false },
    ]);
    await expect(first.call()).rejects.toThrow("is a handle that was released");
    await expect(session.call("f", [first])).rejects.toThrow("args[0] is a handle that was released");
    await expect(first.inspect()).rejects.toThrow(LivescopeError);
    expect(await session.handle("f")).not.toBe(first);
  });

  it("is let go when its block is left", async () => {
    const session = client.attach("s");
    answers.execute = () => handleOf("h");
    {
      await using handle = await session.handle("f");
      expect(handle.released).toBe(false);
    }
    expect(answers.of("release")).toHaveLength(1);
  });

  it("lives on if an answer under way brings it again", async () => {
    const session = client.attach("s");
    answers.execute = () => handleOf("h");
    const handle = await session.handle("f");
    let answer: (value: Value) => void = () => undefined;
    answers.call = () => new Promise((resolve) => (answer = resolve));
    const again = session.call("g");
    await expect.poll(() => answers.of("call")).toHaveLength(1);
    await handle.release();
    expect(handle.released).toBe(true);
    answer(handleOf("h"));
    expect(await again).toBe(handle);
    expect(handle.released).toBe(false);
    expect(answers.of("release")).toHaveLength(0);
  });

  it("is let go once nothing is under way that could bring it again, and calls wait for that", async () => {
    const session = client.attach("s");
    answers.execute = () => handleOf("h");
    const handle = await session.handle("f");
    let answer: (value: Value) => void = () => undefined;
    answers.call = () => new Promise((resolve) => (answer = resolve));
    const other = session.call("g");
    await expect.poll(() => answers.of("call")).toHaveLength(1);
    await handle.release();
    let released: () => void = () => undefined;
    answers.release = () => new Promise((resolve) => (released = resolve));
    answer(json(1));
    await other;
    await expect.poll(() => answers.of("release")).toHaveLength(1);
    const next = session.handle("f");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answers.of("execute")).toHaveLength(1);
    released();
    expect(await next).not.toBe(handle);
  });

  it("that is lost is released when it was collected, and never while a call is under way", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const session = client.attach("s");
    answers.execute = () => handleOf("lost");
    const lost = await (async () => new WeakRef(await session.handle("f")))();
    let answer: (value: Value) => void = () => undefined;
    answers.call = () => new Promise((resolve) => (answer = resolve));
    const underWay = session.call("g");
    await expect.poll(() => answers.of("call")).toHaveLength(1);
    const isLost = (): boolean => {
      collectGarbage();
      return lost.deref() === undefined;
    };
    await expect.poll(isLost).toBe(true);
    // What is done about it is done before this is over.
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(answers.of("release")).toHaveLength(0);
    answers.release = () => Promise.reject(failure(status.INTERNAL));
    answer(json(1));
    await underWay;
    const released = () => answers.of<ReleaseHandlesRequest>("release");
    await expect.poll(released).toMatchObject([{ handleIds: ["lost"] }]);
    // That the release fails is nobody's business.
    answers.execute = () => json(2);
    expect(await session.execute("1")).toBe(2);
  });

  it("that comes where nobody sees it is given back", async () => {
    answers.execute = () => json(1);
    const session = client.attach("s");
    answers.console = [ConsoleEntry.create({ level: ConsoleLevel.LOG, text: "ƒ", args: [handleOf("logged")] })];
    await session.execute("console.log(f)");
    const released = () => answers.of<ReleaseHandlesRequest>("release");
    await expect.poll(released).toMatchObject([{ handleIds: ["logged"] }]);
  });
});

describe("a session", () => {
  it("that was made is deleted when its block is left", async () => {
    let kept: Session;
    {
      await using session = await client.createSession({ sessionId: "mine", labels: { a: "b" }, globals: { x: [1] } });
      expect(session.id).toBe("mine");
      kept = session;
    }
    await expect(kept.execute("1")).rejects.toThrow("session mine) is disposed");
    await expect(kept.info()).rejects.toThrow(LivescopeError);
    await kept[Symbol.asyncDispose]();
    const [create] = answers.of<CreateSessionRequest>("create");
    expect(create?.labels).toStrictEqual(new Map([["a", "b"]]));
    expect(create?.globals).toStrictEqual(new Map([["x", json([1])]]));
    expect(answers.of<DeleteSessionRequest>("delete")).toStrictEqual([{ sessionId: "mine", allowMissing: true }]);
  });

  it("that was attached to is left alone, its handles of this client apart", async () => {
    const session = client.attach("theirs");
    answers.execute = () => handleOf("h");
    const handle = await session.handle("f");
    answers.call = () => new Promise(() => undefined);
    const underWay = session.call("g");
    await expect.poll(() => answers.of("call")).toHaveLength(1);
    const disposal = session[Symbol.asyncDispose]();
    expect(handle.released).toBe(true);
    await expect(handle.call()).rejects.toThrow("is disposed");
    await expect(underWay).rejects.toThrow("was disposed while this was under way");
    await disposal;
    const [{ handleGroup } = {}] = answers.of<ExecuteRequest>("execute");
    expect(answers.of<ReleaseHandlesRequest>("release")).toMatchObject([{ handleIds: [], handleGroup }]);
    // What could make handles is told to end before.
    expect(answers.requests.map(([name]) => name).slice(-2)).toEqual(["cancel", "release"]);
    expect(answers.of("delete")).toHaveLength(0);
  });

  it("can be deleted by whoever is attached", async () => {
    const session = client.attach("theirs");
    await session.delete();
    await session[Symbol.asyncDispose]();
    expect(answers.of("delete")).toHaveLength(1);
    expect(answers.of("release")).toHaveLength(0);
  });

  it("is listed, page by page", async () => {
    const ids: string[] = [];
    for await (const info of client.listSessions({ labels: { a: "b" }, pageSize: 1 })) {
      ids.push(info.sessionId);
      expect(Object.entries(info.labels)).toStrictEqual([["__proto__", "x"]]);
    }
    expect(ids).toStrictEqual(["s", "s2"]);
    expect(answers.of<ListSessionsRequest>("list")).toMatchObject([
      { pageSize: 1, pageToken: "", labels: new Map([["a", "b"]]) },
      { pageSize: 1, pageToken: "2" },
    ]);
  });
});

describe("leaving a block", () => {
  const block = async (work: () => unknown): Promise<void> => {
    await using inner = await Livescope.connect(address, { transport });
    await using session = await inner.createSession({ sessionId: "mine" });
    answers.execute = () => handleOf("h");
    await using handle = await session.handle("f");
    expect(handle.released).toBe(false);
    await work();
  };
  const throwMine = (): never => {
    throw new Error("mine");
  };

  it("lets go of a handle, then of its session, then of the client", async () => {
    await block(() => undefined);
    await expect(block(throwMine)).rejects.toThrow("mine");
    const names = answers.requests.map(([name]) => name).filter((name) => name === "release" || name === "delete");
    expect(names).toEqual(["release", "delete", "release", "delete"]);
  });

  it("fails with the block's own error where the server is gone, and with none where there is none", async () => {
    await expect(
      block(() => {
        server.forceShutdown();
        throwMine();
      }),
    ).rejects.toThrow(/^mine$/);
    ({ server, address } = await startFake(answers));
    await block(() => server.forceShutdown());
  });

  it("fails with both where the server refuses to let go", async () => {
    answers.release = () => Promise.reject(failure(status.PERMISSION_DENIED));
    const failed = block(throwMine);
    await expect(failed).rejects.toMatchObject({
      name: "SuppressedError",
      error: { code: "PERMISSION_DENIED" },
      suppressed: { message: "mine" },
    });
  });
});

it("a guest's failure is no failure of the service", () => {
  expect(GuestError.prototype).toBeInstanceOf(LivescopeError);
  expect(GuestError.prototype).not.toBeInstanceOf(StatusError);
});
