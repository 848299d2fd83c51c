import {
  AlreadyExistsError,
  InvalidRequestError,
  type Livescope,
  LivescopeError,
  NotFoundError,
  type Session,
} from "@livescope/sdk";
import { beforeAll, describe, expect, it } from "vitest";
import { withServer } from "../support/server.js";

const served = withServer();
let client: Livescope;
beforeAll(() => {
  client = served.client;
});

async function ids(labels: Record<string, string>): Promise<string[]> {
  const found: string[] = [];
  for await (const { sessionId } of client.listSessions({ labels, pageSize: 2 })) found.push(sessionId);
  return found;
}

describe("the server", () => {
  it("tells what it is and allows", async () => {
    const info = await client.serverInfo();
    expect(info.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(info.engineDigest).not.toBe("");
    for (const [name, limit] of Object.entries(info.defaultLimits)) {
      expect(limit, name).toBeGreaterThan(0);
      expect(limit, name).toBeLessThanOrEqual(info.maximumLimits[name as keyof typeof info.maximumLimits]);
    }
  });
});

describe("a request", () => {
  it.each([1e15, Number.POSITIVE_INFINITY])("may take %s ms, for which there is no deadline", async (timeout) => {
    await using session = await client.createSession({ sessionId: "patient", timeout });
    const listed: string[] = [];
    for await (const { sessionId } of client.listSessions({ timeout })) listed.push(sessionId);
    expect(listed).toContain(session.id);
    const snapshot = await session.snapshot({ timeout });
    const imported = await client.importSnapshot(client.exportSnapshot(snapshot, { timeout }), { timeout });
    await client.deleteSnapshot(imported, { timeout });
  });
});

describe("a session", () => {
  it("lives as long as the block that made it", async () => {
    let kept: Session;
    {
      await using session = await client.createSession();
      kept = session;
      expect(await session.execute("globalThis.a = 1")).toBe(1);
    }
    await expect(kept.execute("a")).rejects.toThrow(LivescopeError);
    await expect(client.attach(kept.id).execute("a")).rejects.toThrow(NotFoundError);
    await expect(client.attach(kept.id).info()).rejects.toMatchObject({ metadata: { session_id: kept.id } });
  });

  it("outlives whoever is only attached to it", async () => {
    await using session = await client.createSession({ globals: { n: 20 } });
    {
      await using attached = client.attach(session.id);
      await attached.execute("n += 1");
      await attached.handle("({})");
      expect((await session.info()).handleCount).toBe(1);
    }
    expect(await session.execute("n")).toBe(21);
    expect((await session.info()).handleCount).toBe(0);
  });

  it("has the id, the labels, the limits and the globals it was made with", async () => {
    const sessionId = "chosen";
    await using session = await client.createSession({
      sessionId,
      labels: { kind: "described" },
      limits: { timeout: 1_500, handles: 7 },
      idleTtl: 60_000,
      globals: { config: { retries: 3 }, nothing: undefined },
    });
    expect(session.id).toBe(sessionId);
    expect(await session.info()).toMatchObject({
      sessionId,
      state: "ACTIVE",
      labels: { kind: "described" },
      limits: { timeout: 1_500, handles: 7 },
      idleTtl: 60_000,
      createTime: expect.any(Date),
    });
    expect(await session.execute("[config.retries, typeof nothing, 'nothing' in globalThis]")).toStrictEqual([
      3,
      "undefined",
      true,
    ]);
    await expect(client.createSession({ sessionId })).rejects.toThrow(AlreadyExistsError);
  });

  it("is set up before it is handed out, or not made", async () => {
    await using session = await client.createSession({ setup: "const base = 40; function f() { return base + 2 }" });
    expect(await session.call("f")).toBe(42);
    const failed = client.createSession({ sessionId: "never", setup: "throw new Error('not today')" });
    await expect(failed).rejects.toThrow(InvalidRequestError);
    await expect(client.attach("never").info()).rejects.toThrow(NotFoundError);
  });

  it("is made once for one request id", async () => {
    const requestId = crypto.randomUUID();
    await using session = await client.createSession({ requestId });
    expect((await client.createSession({ requestId })).id).toBe(session.id);
  });

  it("is listed by its labels, over several pages", async () => {
    const labels = { suite: "listing" };
    await using a = await client.createSession({ labels });
    await using b = await client.createSession({ labels: { ...labels, odd: "yes" } });
    await using c = await client.createSession({ labels });
    expect(await ids(labels)).toStrictEqual([a.id, b.id, c.id]);
    expect(await ids({ ...labels, odd: "yes" })).toStrictEqual([b.id]);
    expect(await ids({ suite: "none" })).toStrictEqual([]);
  });

  it("is refused limits that are too large, by their name", async () => {
    const { maximumLimits } = await client.serverInfo();
    const refused = client.createSession({ limits: { memoryBytes: maximumLimits.memoryBytes + 1 } });
    await expect(refused).rejects.toThrow(InvalidRequestError);
    await expect(refused).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_REQUEST",
      fieldViolations: [{ field: "limits.memory_bytes" }],
    });
  });

  it("can be deleted while it works", async () => {
    await using session = await client.createSession();
    const working = session.execute("for (;;);", { timeout: 10_000, limits: { cpuTime: 10_000 } });
    const waiting = session.execute("1");
    const failed = Promise.all(
      [working, waiting].map((one) =>
        expect(one).rejects.toMatchObject({ code: "ABORTED", reason: "SESSION_DELETED" }),
      ),
    );
    await session.info();
    await client.attach(session.id).delete();
    await failed;
  });
});
