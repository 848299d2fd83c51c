/** Connect, as a plain client of the wire sees it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, Command, Expose } from "@livescope/proto";
import { Livescope, type Session } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { calling, cancelling, crediting, executing, RawConnection } from "./support/connection.js";
import { withServer } from "./support/server.js";
import { type Clients, connectClients, send } from "./support/unary-client.js";

const CANCELLED = "stopped 7";
const served = withServer();
let clients: Clients;
let connection: RawConnection;
let session: Session;

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
beforeEach(async () => {
  connection = new RawConnection(clients.sandbox);
  session = await served.client.createSession({
    setup: `let total = 0; function inc(n) { return total += n }
      const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));`,
  });
});
afterEach(async () => {
  connection.stream.cancel();
  await session.delete();
});

/** Nothing of a session changes any more. */
async function isStill(name: string, milliseconds = 50): Promise<boolean> {
  const before = await session.execute(name);
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return before === (await session.execute(name));
}

describe("a Connect stream", () => {
  test("carries executions of any sessions at once, and answers them as they end", async () => {
    await using other = await served.client.createSession();
    connection.send(
      executing(1, "await sleep(60); 'slow'", { sessionId: session.id }),
      executing(2, "'quick'", { sessionId: session.id }),
    );
    connection.send(executing(3, "'other'", { sessionId: other.id }), executing(4, "'alone'"));
    const answers = await Promise.all([1, 2, 3, 4].map((id) => connection.answer(id)));
    expect(answers).toEqual(['value "slow"', 'value "quick"', 'value "other"', 'value "alone"']);
    const ids = connection.frames.map(({ frameId }) => frameId);
    expect(ids.indexOf(2n)).toBeLessThan(ids.indexOf(1n));
  });

  test("runs the commands of one message in their order, and answers them in few messages", async () => {
    const frames = Array.from({ length: 60 }, (_, i) => calling(i + 1, session.id, "inc", 1));
    connection.send(...frames);
    const answers = await Promise.all(frames.map((_, i) => connection.answer(i + 1)));
    expect(answers).toEqual(frames.map((_, i) => `value ${i + 1}`));
    expect(connection.messages.length).toBeLessThan(20);
  });

  test("tells what a command writes and emits, its end last", async () => {
    connection.send(
      executing(1, "console.log('a'); await emit(1); await sleep(5); console.log('b'); emit(2); 'end'", {
        sessionId: session.id,
      }),
    );
    expect(await connection.toldOf(1)).toEqual(["console a", "emitted 1", "console b", "emitted 2", 'value "end"']);
    const ids = new Set(connection.frames.map(({ frame }) => frame?.$case === "event" && frame.value.executionId));
    expect(ids.size).toBe(1);
  });

  test("tells of console entries while a turn still runs", async () => {
    connection.send(executing(1, "console.log('in'); const end = Date.now() + 1_000; while (Date.now() < end); 0"));
    await connection.until(({ frame }) => frame?.$case === "event" && frame.value.event?.$case === "console");
    expect(connection.frames).toHaveLength(1);
    expect(await connection.toldOf(1)).toEqual(["console in", "value 0"]);
  });

  test("gives the console with the end, and emits nothing, if the command says so", async () => {
    const code = "console.log('a'); for (let i = 0; i < 40; i++) await emit(i); (function* () { yield 1 })()";
    connection.send(executing(1, code, { sessionId: session.id }, { consoleAtEnd: true, dropEmitted: true }));
    expect(await connection.toldOf(1)).toEqual(["value handle"]);
    const [{ frame } = {}] = connection.frames;
    const event = frame?.$case === "event" ? frame.value.event : undefined;
    expect(event?.$case === "finished" && event.value.console.map(({ text }) => text)).toEqual(["a"]);
  });

  test("answers a frame that fails with its status, and goes on", async () => {
    connection.send(
      { frameId: 1n },
      { frameId: 0n, frame: { $case: "credit", value: 1 } },
      executing(2, "1", { sessionId: "nobody" }),
      executing(3, "1 + 1"),
      executing(3, "'again'"),
      { frameId: 4n, frame: { $case: "expose", value: Expose.create({ sessionId: "nobody", names: ["f"] }) } },
      cancelling(5, { sessionId: "nobody", executionId: "x" }),
      { frameId: 6n, frame: { $case: "command", value: Command.create() } },
    );
    expect(await connection.answer(3)).toBe(`status ${Code.INVALID_ARGUMENT}`);
    const answers = await Promise.all([1, 0, 2, 4, 5, 6].map((id) => connection.answer(id)));
    expect(answers).toEqual(
      [
        Code.INVALID_ARGUMENT,
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.NOT_FOUND,
        Code.NOT_FOUND,
        Code.INVALID_ARGUMENT,
      ].map((code) => `status ${code}`),
    );
    const isFinished = await connection.until(({ frame }) => frame?.$case === "event");
    expect(isFinished.frameId).toBe(3n);
    const refused = connection.frames.find(({ frameId }) => frameId === 2n)?.frame;
    expect(refused?.$case === "status" && refused.value.details.length).toBeGreaterThan(0);
  });

  test("cancels by the frame of the command, and by the id of the execution", async () => {
    connection.send(
      executing(1, "await sleep(10_000)", { sessionId: session.id }),
      executing(2, "await sleep(10_000)", { sessionId: session.id, requestId: "known" }),
      executing(3, "for (;;);", { requestId: "alone" }),
      executing(4, "await sleep(100); 'kept'", { sessionId: session.id }),
    );
    connection.send(
      cancelling(1),
      cancelling(5, { sessionId: session.id, executionId: "known" }),
      cancelling(6, { executionId: "alone" }),
      cancelling(99),
      cancelling(7, { sessionId: session.id, executionId: "never" }),
    );
    expect(await Promise.all([1, 2, 3].map((id) => connection.answer(id)))).toEqual([CANCELLED, CANCELLED, CANCELLED]);
    expect(await connection.answer(4)).toBe('value "kept"');
    expect(connection.frames).toHaveLength(4);
  });

  test("lets a command emit what it has credit for, and no more", async () => {
    connection.send(
      executing(1, "var n = 0; (function* () { for (; n < 100; n++) yield n })()", { sessionId: session.id }),
    );
    const emitted = (): number => connection.frames.filter(({ frame }) => frame?.$case === "event").length;
    await expect.poll(emitted).toBe(16);
    expect(await session.execute("n")).toBe(16);
    connection.send(crediting(1, 3));
    await expect.poll(emitted).toBe(19);
    expect(await isStill("n")).toBe(true);
    connection.send(crediting(1, 4_000_000_000));
    expect(await connection.toldOf(1)).toHaveLength(101);
  });

  test("answers all that was asked before it ends, when its client has said its last", async () => {
    connection.send(executing(1, "(function* () { for (let i = 0; i < 50; i++) yield i })()"), executing(2, "'b'"));
    connection.stream.end();
    expect(await connection.ended).toMatchObject({ code: Code.OK });
    expect(await connection.toldOf(1)).toHaveLength(51);
    expect(await connection.answer(2)).toBe('value "b"');
  });

  test("tells of a cancel that fails before it ends, when its client has said its last", async () => {
    const directory = mkdtempSync(join(tmpdir(), "livescope-connect-"));
    const server = await startServer({ data: directory });
    const own = await Livescope.connect(server.address);
    // From then on a session that is not in memory is looked for on the disk, which takes longer than to say the last.
    await own.createSession({ durability: "durable" });
    const wire = connectClients(server.address);
    const last = new RawConnection(wire.sandbox);
    last.send(cancelling(1, { sessionId: "unknown", executionId: "any" }));
    last.stream.end();
    expect(await last.ended).toMatchObject({ code: Code.OK });
    expect(last.frames.map(({ frameId, frame }) => [frameId, frame?.$case])).toEqual([[1n, "status"]]);
    wire.close();
    await own.close();
    await server.close();
    rmSync(directory, { recursive: true });
  });

  test("ends its executions when it is lost, but for those with a request id", async () => {
    const requestId = crypto.randomUUID();
    const kept = { sessionId: session.id, requestId };
    const code = "var kept = 0; for (let i = 0; i < 100; i++) { await emit(i); await sleep(1); kept++ } kept";
    connection.send(
      executing(1, "var lost = 0; for (;;) { lost++; await sleep(1) }", { sessionId: session.id }),
      executing(2, code, kept),
    );
    await connection.until(({ frameId }) => frameId === 2n);
    connection.stream.cancel();
    const second = new RawConnection(clients.sandbox);
    second.send(executing(1, code, kept));
    expect(await second.toldOf(1)).toEqual(["value 100"]);
    second.stream.cancel();
    await expect.poll(() => isStill("lost"), { timeout: 5_000 }).toBe(true);
  });

  test("keeps little for a client that does not read", async () => {
    const text = "x".repeat(300_000);
    connection.stream.pause();
    connection.send(
      executing(1, `var made = 0; (function* () { for (; made < 100; made++) yield '${text}' })()`, {
        sessionId: session.id,
      }),
      crediting(1, 1_000_000),
    );
    await expect.poll(() => session.execute<number>("made")).toBeGreaterThan(0);
    await expect.poll(() => isStill("made", 400), { timeout: 10_000 }).toBe(true);
    const made = await session.execute<number>("made");
    expect(made).toBeLessThan(60);
    // Nor is it heard: what it asks for now waits until it reads.
    connection.send(calling(2, session.id, "inc", 1));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await session.execute("total")).toBe(0);
    connection.stream.resume();
    expect(await connection.toldOf(1)).toHaveLength(101);
    expect(await connection.answer(2)).toBe("value 1");
  });

  test("and its connection end with the server, which keeps nobody's process", async () => {
    const server = await startServer({ workers: 1 });
    const others = connectClients(server.address);
    const other = new RawConnection(others.sandbox);
    const sandbox = others.sandbox;
    await send(sandbox, sandbox.getServerInfo, {});
    await server.close();
    await expect(other.ended).resolves.toBeDefined();
    await expect(send(sandbox, sandbox.getServerInfo, {})).rejects.toMatchObject({ code: Code.UNAVAILABLE });
    others.close();
  });

  test("tells that the server stops: commands are refused, those in flight are answered, then it ends", async () => {
    const server = await startServer();
    const its = connectClients(server.address);
    const stream = new RawConnection(its.sandbox);
    stream.send(executing(1, "await new Promise((resolve) => setTimeout(resolve, 200)); 'done'"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const closing = server.close();
    stream.send(executing(2, "1"));
    expect(await stream.answer(2)).toBe(`status ${Code.UNAVAILABLE}`);
    expect(await stream.answer(1)).toBe('value "done"');
    expect(await stream.ended).toMatchObject({ code: Code.UNAVAILABLE, details: expect.stringContaining("stopping") });
    await closing;
    its.close();
  });
});
