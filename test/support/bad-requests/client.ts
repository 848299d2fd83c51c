/** Clients that go away, do not read, or never finish what they say. */
import { once } from "node:events";
import { connect } from "node:http2";
import { setTimeout } from "node:timers/promises";
import { Metadata } from "@grpc/grpc-js";
import { Code, ExecuteRequest, RunRequest, SandboxServiceService as Sandbox } from "@livescope/proto";
import { expect } from "vitest";
import { isLong } from "../is-long.js";
import { floodWithHeaders } from "../raw-frames.js";
import { type Answer, answerOf, frame, RawConnection } from "../raw-http2.js";
import { type Clients, connectClients } from "../unary-client.js";
import { withBoundedMemory } from "./size.js";
import { type BadRequest, dataOf, executionOf, type World } from "./world.js";

/** Emits without end; each value fills the window of a stream more than once. */
const ENDLESS = 'for (;;) await emit("x".repeat(200_000))';
const HALF_OPEN = 1_000;
/** `.ci/run` has the patience for all of them. */
const CONNECTS = isLong ? 2_000 : 200;
const CONNECTS_AT_ONCE = 20;

export const CLIENT_CASES: Readonly<Record<string, BadRequest>> = {
  "client/cancel-mid-call": async (world) => {
    const { sessionId } = await world.createSession();
    const answer = await cancelled(world, { sessionId, code: "for (;;);" }, 100);
    await expectStill(world, sessionId);
    return answer;
  },

  "client/cancel-queued": async (world) => {
    const { sessionId } = await world.createSession({ setup: "let ran = 0" });
    const busy = world.execute(sessionId, "for (const end = Date.now() + 400; Date.now() < end; );");
    const answer = await cancelled(world, { sessionId, code: "ran++" }, 100);
    await busy;
    expect(dataOf(await world.execute(sessionId, "ran"))).toBe(0);
    await expectStill(world, sessionId);
    return answer;
  },

  "client/vanish-mid-stream": async (world) => {
    const { sessionId } = await world.createSession();
    const session = connect(`http://${world.address}`);
    session.on("error", () => undefined);
    const stream = session.request(runHeaders()).on("error", () => undefined);
    stream.end(runFrame(sessionId));
    await once(stream, "data");
    session.destroy();
    await expectStill(world, sessionId);
    return unanswered("none");
  },

  "client/half-open-streams": async (world) => {
    const streams = Array.from({ length: HALF_OPEN }, () =>
      world.connectionAbroad.send(Sandbox.run.path, Buffer.alloc(3), { stall: true }),
    );
    using second = new RawConnection(world.addressAbroad);
    const request = ExecuteRequest.create({ sessionId: world.abroad.sessionId, code: "40 + 2" });
    expect(dataOf(executionOf(await second.call(Sandbox.execute, request)))).toBe(42);
    const answers = await Promise.all(streams);
    expect(new Set(answers.map(({ status }) => status)).size).toBe(1);
    return answers[0] as Answer;
  },

  "client/slow-reader": (world) =>
    withBoundedMemory(async () => {
      const { sessionId } = await world.createSession();
      const answer = await withClients(world, async ({ sandbox }) => {
        const call = sandbox.run(runRequest(sessionId), new Metadata(), { deadline: Date.now() + 500 });
        const [error] = (await once(call, "error")) as [{ code: number }];
        return unanswered(Code[error.code] ?? "");
      });
      await expectStill(world, sessionId);
      return answer;
    }),

  "client/continuation-flood": (world) =>
    withBoundedMemory(async () => unanswered(await floodWithHeaders(world.address, Sandbox.execute.path))),

  "client/window-zero": (world) =>
    withBoundedMemory(async () => {
      const { sessionId } = await world.createSessionAbroad();
      const session = connect(`http://${world.addressAbroad}`, { settings: { initialWindowSize: 0 } });
      const stream = session.request({ ...runHeaders(), "grpc-timeout": "500m" });
      const answer = answerOf(stream);
      stream.end(runFrame(sessionId));
      const { status, ...rest } = await answer;
      session.destroy();
      await world.deleteSessionAbroad(sessionId);
      // What cannot be said for want of a window is said by resetting the stream.
      return { ...rest, status: status === "STREAM_RST" ? "CANCELLED" : status };
    }),

  "client/reconnect-storm": async (world) => {
    const { sessionId } = world.here;
    const request = ExecuteRequest.create({ sessionId, code: "1" });
    // So that the connection of this case is among those that are open before.
    await world.connection.call(Sandbox.execute, request);
    const before = openSockets();
    for (let count = 0; count < CONNECTS; count += CONNECTS_AT_ONCE) {
      await Promise.all(Array.from({ length: CONNECTS_AT_ONCE }, () => connectAndLeave(world.address)));
      await setTimeout(1_000 / (200 / CONNECTS_AT_ONCE));
    }
    await expect.poll(openSockets, { timeout: 5_000 }).toBeLessThanOrEqual(before);
    return world.connection.call(Sandbox.execute, request);
  },
};

/** Asks for an execution and gives it up after so many milliseconds. */
function cancelled(world: World, request: Partial<ExecuteRequest>, milliseconds: number): Promise<Answer> {
  return withClients(
    world,
    ({ sandbox }) =>
      new Promise((resolve) => {
        const call = sandbox.execute(ExecuteRequest.create(request), (error) =>
          resolve(unanswered(Code[error?.code ?? 0] ?? "")),
        );
        void setTimeout(milliseconds).then(() => call.cancel());
      }),
  );
}

async function withClients<T>(world: World, work: (clients: Clients) => Promise<T>): Promise<T> {
  const clients = connectClients(world.address);
  try {
    return await work(clients);
  } finally {
    clients.close();
  }
}

/** Nothing is in flight in a session any more: who has to have it alone gets it at once. Ends the session. */
async function expectStill(world: World, sessionId: string): Promise<void> {
  const alone = ExecuteRequest.create({ sessionId, code: "40 + 2", atomic: true });
  // Long before what ran there would have been ended by its own limits.
  const answer = await world.connection.call(Sandbox.execute, alone, { "grpc-timeout": "5S" });
  expect(dataOf(executionOf(answer))).toBe(42);
  await world.deleteSession(sessionId);
}

function runRequest(sessionId: string): RunRequest {
  const value = ExecuteRequest.create({ sessionId, code: ENDLESS });
  return RunRequest.fromPartial({ command: { command: { $case: "execute", value } } });
}

function runFrame(sessionId: string): Buffer {
  return frame(Sandbox.run.requestSerialize(runRequest(sessionId)));
}

function runHeaders(): Record<string, string> {
  return { ":method": "POST", ":path": Sandbox.run.path, "content-type": "application/grpc", te: "trailers" };
}

async function connectAndLeave(address: string): Promise<void> {
  const session = connect(`http://${address}`);
  session.on("error", () => undefined);
  await once(session, "connect");
  session.destroy();
  await once(session, "close");
}

/** Sockets of this process, which is the server's too. */
function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
}

function unanswered(status: string): Answer {
  return { status, message: "", details: [], messages: [] };
}
