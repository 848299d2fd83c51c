import type { ServiceError } from "@grpc/grpc-js";
import { Encoding, type Event, ExecuteRequest, type Execution, RunRequest } from "@livescope/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";
import { type Clients, connectClients } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());

/** Runs source text over the wire; `onEvent` may pause by giving a promise. */
async function run(request: {
  code: string;
  encoding?: Encoding;
  sessionId?: string;
  onEvent?: (event: Event["event"]) => Promise<void> | void;
}): Promise<Event["event"][]> {
  const { code, encoding = Encoding.FULL, sessionId, onEvent } = request;
  const value = ExecuteRequest.fromPartial({ code, encoding, ...(sessionId === undefined ? {} : { sessionId }) });
  const events: Event["event"][] = [];
  const ids = new Set<string>();
  for await (const { event } of clients.sandbox.run(
    RunRequest.fromPartial({ command: { command: { $case: "execute", value } } }),
  )) {
    events.push(event?.event);
    ids.add(event?.executionId ?? "");
    await onEvent?.(event?.event);
  }
  expect(ids.size).toBe(1);
  expect(ids.has("")).toBe(false);
  return events;
}

/** `console TEXT`, `emitted JSON`, `finished JSON`. */
function told(event: Event["event"]): string {
  switch (event?.$case) {
    case "console":
      return `console ${event.value.text}`;
    case "emitted":
      return `emitted ${json(event.value.kind)}`;
    case "finished":
      return `finished ${finished(event.value)}`;
    default:
      return "nothing";
  }
}

function finished({ outcome }: Execution): string {
  if (outcome?.$case === "value") return json(outcome.value.kind);
  return outcome?.$case === "exception" ? outcome.value.name : `${outcome?.$case}`;
}

function json(kind: { $case: string; value: unknown } | undefined): string {
  return kind === undefined ? "undefined" : kind.$case === "json" ? String(kind.value) : kind.$case;
}

describe("Run", () => {
  test("tells what an execution writes and emits, in order, and how it ended", async () => {
    const events = await run({
      code: "console.log('a'); await emit(1); console.log('b'); await emit({ x: [2] }); 'end'",
    });
    // Console entries leave while the turn runs, emitted values when it has committed.
    expect(events.filter((event) => event?.$case !== "console").map(told)).toEqual([
      "emitted 1",
      'emitted {"x":[2]}',
      'finished "end"',
    ]);
    expect(events.filter((event) => event?.$case === "console").map(told)).toEqual(["console a", "console b"]);
    const last = events.at(-1);
    expect(last?.$case === "finished" && last.value.console).toEqual([]);
  });

  test("tells of console entries while the code still runs", async () => {
    let begin = (): void => undefined;
    const started = new Promise<void>((resolve) => (begin = resolve));
    let isFinished = false;
    const running = run({
      code: "console.log('first'); await new Promise((resolve) => setTimeout(resolve, 300)); 0",
      onEvent: (event) => {
        if (event?.$case === "console") begin();
        if (event?.$case === "finished") isFinished = true;
      },
    });
    await started;
    expect(isFinished).toBe(false);
    expect((await running).map(told)).toEqual(["console first", "finished 0"]);
  });

  test.each([
    ["a generator", "(function* () { yield 1; yield 'two'; yield Promise.resolve(3); return 'end' })()"],
    ["an async generator", "(async function* () { yield 1; await null; yield 'two'; yield 3; return 'end' })()"],
  ])("emits what %s yields", async (_name, code) => {
    expect((await run({ code })).map(told)).toEqual(["emitted 1", 'emitted "two"', "emitted 3", 'finished "end"']);
  });

  test("emits values of every kind, also those that had to wait for the client", async () => {
    const events = await run({
      code: `(function* () {
        for (let i = 0; i < 40; i++) yield new Uint8Array([i, 255]);
        yield new Date(7); yield () => 1; yield undefined
      })()`,
    });
    const kinds = events.map((event) => (event?.$case === "emitted" ? event.value.kind : undefined));
    const bytes = kinds.slice(0, 40).map((kind) => (kind?.$case === "bytes" ? [...kind.value] : kind));
    expect(bytes).toEqual(Array.from({ length: 40 }, (_, i) => [i, 255]));
    expect(kinds.slice(40).map((kind) => (kind?.$case === "graph" ? kind.value : kind?.$case))).toEqual([
      '[["Date","1970-01-01T00:00:00.007Z"]]',
      "handle",
      undefined,
      undefined,
    ]);
  });

  test("ends with what a generator throws, after what it had yielded", async () => {
    const events = await run({ code: "(function* () { yield 1; throw new TypeError('no') })()" });
    expect(events.map(told)).toEqual(["emitted 1", "finished TypeError"]);
  });

  test("lets a generator that awaits its emissions run no faster than the client reads", async () => {
    const { session } = await createSession();
    let read = 0;
    let most = 0;
    const value = "x".repeat(50_000);
    await run({
      sessionId: session,
      code: `globalThis.made = 0; (function* () { for (; made < 600; made++) yield '${value}' })()`,
      onEvent: async (event) => {
        if (event?.$case !== "emitted") return;
        if (++read % 100 !== 0) return;
        const made = await madeIn(session);
        most = Math.max(most, made - read);
      },
    });
    expect(read).toBe(600);
    // What is under way: the first credit, and what fits into the buffers of the transport.
    expect(most).toBeLessThan(300);
  });

  test("drops nothing that was emitted and not awaited", async () => {
    const events = await run({ code: "for (let i = 0; i < 100; i++) emit(i); 'end'" });
    const emitted = events.map(told);
    expect(emitted).toEqual([...Array.from({ length: 100 }, (_, i) => `emitted ${i}`), 'finished "end"']);
  });

  test("ends an execution whose client is gone", async () => {
    const { session } = await createSession();
    const value = ExecuteRequest.fromPartial({
      sessionId: session,
      code: "globalThis.n = 0; for (;;) { n++; await emit(n) }",
    });
    const stream = clients.sandbox.run(RunRequest.fromPartial({ command: { command: { $case: "execute", value } } }));
    await new Promise((resolve) => stream.once("data", resolve));
    stream.on("error", () => undefined);
    stream.cancel();
    const quiet = async (): Promise<boolean> => {
      const before = await madeIn(session, "n");
      await new Promise((resolve) => setTimeout(resolve, 50));
      return (await madeIn(session, "n")) === before;
    };
    await expect.poll(quiet, { timeout: 5_000 }).toBe(true);
  });

  test("without a listener, emitted values go nowhere and nobody waits for them", async () => {
    expect(await served.client.execute("for (let i = 0; i < 100; i++) await emit(i); 'end'")).toBe("end");
  });

  test("refuses what it cannot run with a status", async () => {
    const error = await new Promise<ServiceError>((resolve) => {
      clients.sandbox.run({ command: undefined }).on("error", resolve).resume();
    });
    expect(error).toMatchObject({ code: 3, details: expect.stringContaining("command: must be set") });
  });
});

async function createSession(): Promise<{ session: string }> {
  return { session: (await served.client.createSession()).id };
}

async function madeIn(session: string, name = "made"): Promise<number> {
  return served.client.attach(session).execute<number>(name);
}
