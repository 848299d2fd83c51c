import { setTimeout as sleep } from "node:timers/promises";
import type { Livescope } from "@livescope/sdk";
import { beforeAll, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";

const served = withServer({ maximumSessions: 40, maximumHibernated: 0 });
let client: Livescope;
beforeAll(() => {
  client = served.client;
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a session", () => {
  test("that was not used for its idle_ttl is gone, and says so", async () => {
    const session = await client.createSession({ idleTtl: 100 });
    await sleep(150);
    await expect(session.execute("1")).rejects.toMatchObject({ code: "NOT_FOUND", reason: "SESSION_EXPIRED" });
  });

  test("is kept by use, and not by being looked at", async () => {
    const session = await client.createSession({ idleTtl: 1_500 });
    for (let i = 0; i < 4; i++) {
      await sleep(500);
      await session.execute("1");
    }
    for (let i = 0; i < 4; i++) {
      await sleep(500);
      await failure(session.info());
    }
    await expect(session.info()).rejects.toMatchObject({ reason: "SESSION_EXPIRED" });
  });

  test("that was deleted says so, and deleting it again is no error for the SDK", async () => {
    const session = await client.createSession();
    await session.delete();
    await session.delete();
    await expect(client.attach(session.id).execute("1")).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });

  test("answers what runs and waits in it when it is deleted", async () => {
    const session = await client.createSession();
    const running = failure(session.execute("for (;;);"));
    const waiting = failure(session.execute("1"));
    await expect.poll(async () => Number((await session.info()).memoryBytes)).toBeGreaterThanOrEqual(0);
    await client.attach(session.id).delete();
    expect(await running).toMatchObject({ code: "ABORTED", reason: "SESSION_DELETED" });
    expect(await waiting).toMatchObject({ code: "ABORTED", reason: "SESSION_DELETED" });
  });

  test("gets its globals and its setup before anybody else", async () => {
    await using session = await client.createSession({
      globals: { rates: { eur: 2 } },
      setup: "const toEuro = (n) => n * rates.eur",
    });
    expect(await session.call("toEuro", [21])).toBe(42);
  });

  test("is not there when its setup throws", async () => {
    const id = `bad-setup-${Date.now()}`;
    const creation = client.createSession({ sessionId: id, setup: "throw new RangeError('nope')" });
    await expect(creation).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("nope"),
    });
    await expect(client.attach(id).execute("1")).rejects.toMatchObject({ reason: "SESSION_NOT_FOUND" });
  });

  test.each([
    ["let x;\nx.y", {}, /^setup: threw TypeError: .+ at setup\.js:2:\d+$/],
    ["let x;\nlet y = ;", {}, /^setup: threw SyntaxError: .+ at setup\.js:2:\d+$/],
    ["await import('a.js')", { "a.js": "\n\nnull.x" }, /^setup: threw TypeError: .+ at a\.js:3:\d+$/],
    ["throw 'no error'", {}, /^setup: threw no error$/],
  ])("says where its setup threw: %j", async (setup, modules, message) => {
    await expect(client.createSession({ setup, modules })).rejects.toThrow(message);
  });

  test("is seen by nobody before its setup has run", async () => {
    const sessionId = `nascent-${Date.now()}`;
    const spin = "const end = Date.now() + 1000; while (Date.now() < end);";
    const creation = client.createSession({ sessionId, setup: spin });
    await sleep(100);
    await expect(client.attach(sessionId).info()).rejects.toMatchObject({ reason: "SESSION_NOT_FOUND" });
    await expect(client.createSession({ sessionId })).rejects.toMatchObject({ code: "ALREADY_EXISTS" });
    await using session = await creation;
    expect((await session.info()).sessionId).toBe(sessionId);
  });

  test("that was deleted is not given again to a repeat of its creation", async () => {
    const requestId = crypto.randomUUID();
    const session = await client.createSession({ requestId });
    expect((await client.createSession({ requestId })).id).toBe(session.id);
    await session.delete();
    await expect(client.createSession({ requestId })).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });

  test("is listed page by page, by labels", async () => {
    const made = [];
    for (let i = 0; i < 7; i++) made.push(await client.createSession({ labels: { of: "list", nth: `${i}` } }));
    const listed: string[] = [];
    for await (const { sessionId: id } of client.listSessions({ labels: { of: "list" }, pageSize: 3 })) listed.push(id);
    expect(listed).toEqual(made.map(({ id }) => id));
    for await (const { sessionId: id } of client.listSessions({ labels: { of: "list", nth: "4" } }))
      expect(id).toBe(made[4]?.id);
    await Promise.all(made.map((session) => session.delete()));
  });

  test("beyond the quota is refused until one is gone", async () => {
    const made = [];
    for (;;) {
      const session = await client.createSession({ labels: { of: "quota" } }).catch((error: unknown) => error);
      if (session instanceof Error) {
        expect(session).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "QUOTA_EXCEEDED", retryDelay: 1_000 });
        break;
      }
      made.push(session as Awaited<ReturnType<typeof client.createSession>>);
    }
    await expect(client.execute("1")).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED" });
    await made.pop()?.delete();
    expect(await client.execute("1 + 1")).toBe(2);
    await Promise.all(made.map((session) => session.delete()));
  });

  test("takes no more executions than its queue holds", async () => {
    await using session = await client.createSession({ limits: { queuedExecutions: 3 } });
    const running = session.execute("const end = Date.now() + 300; while (Date.now() < end); 'done'");
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => session.execute("1")));
    expect(await running).toBe("done");
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.length).toBe(7);
    for (const { reason } of refused)
      expect(reason).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "QUEUE_FULL" });
    expect(await session.execute("2")).toBe(2);
  });

  test("for one execution alone is gone with it", async () => {
    expect(await client.execute("globalThis.x = 1")).toBe(1);
    expect(await client.execute("typeof x")).toBe("undefined");
    const ids: string[] = [];
    for await (const { sessionId: id } of client.listSessions()) ids.push(id);
    expect(ids).toEqual([]);
  });
});

describe("a deadline", () => {
  test.each([
    ["a loop", "for (;;);"],
    ["a loop in a finally block", "try { for (;;); } finally { for (;;); }"],
    ["an endless chain of microtasks", "(async () => { for (;;) await null })()"],
    ["a builtin that polls for nothing", 'new Array(1e9) + ""'],
    ["a toJSON that never returns", "JSON.stringify({ toJSON() { for (;;); } })"],
  ])("ends %s, and the session goes on as before", async (_what, code) => {
    await using session = await client.createSession();
    await session.execute("let n = 1");
    await expect(session.execute(`n = 2; ${code}`, { timeout: 100 })).rejects.toMatchObject({ reason: "TIMEOUT" });
    expect(await session.execute("n")).toBe(1);
  });

  test("of the CPU time of a turn is told apart from that of the execution", async () => {
    await using session = await client.createSession({ limits: { cpuTime: 50 } });
    await expect(session.execute("for (;;);")).rejects.toMatchObject({ reason: "CPU_TIME" });
  });

  test("counts while an execution waits for the session", async () => {
    await using session = await client.createSession();
    const running = session.execute("const end = Date.now() + 1500; while (Date.now() < end); 'done'");
    const signal = AbortSignal.timeout(50);
    await expect(session.execute("late = true", { signal })).rejects.toMatchObject({ name: "TimeoutError" });
    expect(await running).toBe("done");
    expect(await session.execute("typeof late")).toBe("undefined");
  });

  test("given by an abort ends a running execution and undoes its turn", async () => {
    await using session = await client.createSession();
    await session.execute("let n = 1");
    const controller = new AbortController();
    const running = session.execute("n = 2; for (;;);", { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 100);
    await expect(running).rejects.toThrow("enough");
    expect(await session.execute("n")).toBe(1);
  });
});
