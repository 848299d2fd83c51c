import { getEventListeners } from "node:events";
import { GuestError, type Livescope, NotFoundError, Preview, type Session, type SessionEvent } from "@livescope/sdk";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { connect, withServer } from "../support/server.js";

const served = withServer();
let client: Livescope;
let session: Session;
beforeAll(() => {
  client = served.client;
});

beforeEach(async () => {
  session = await client.createSession({ labels: { watched: "yes" } });
});

afterEach(async () => {
  await session?.[Symbol.asyncDispose]();
});

/** Collects what a watch tells until it ends; `first` is its first event. */
async function watching(watched: Session, signal?: AbortSignal): Promise<{ told: string[]; ended: Promise<unknown> }> {
  const told: string[] = [];
  const events = watched.watch({ signal });
  const first = await events.next();
  told.push(nameOf(first.value as SessionEvent));
  const ended = (async () => {
    for await (const event of events) told.push(nameOf(event));
  })().catch((error: unknown) => error);
  return { told, ended };
}

function nameOf(event: SessionEvent): string {
  switch (event.kind) {
    case "session":
      return `session ${event.session.labels.watched}`;
    case "console":
      return `console ${event.executionId === "" ? "of nobody" : "of one"} ${event.entry.text}`;
    case "finished":
      return `finished ${JSON.stringify(event.execution.value)}`;
    case "failed":
      return `failed ${event.error.name}`;
  }
}

describe("a watch", () => {
  it("tells what happens from now on, whoever asked for it", async () => {
    await session.execute("console.log('before')");
    const other = await connect(served.server.address);
    const { told } = await watching(other.attach(session.id));
    expect(told).toStrictEqual(["session yes"]);
    await session.execute("console.log('a'); 1");
    await session.execute("throw new Error('no')").catch(() => undefined);
    await session.execute("for (;;);", { timeout: 50 }).catch(() => undefined);
    await session.execute("setTimeout(() => console.log('left behind'), 1); 2");
    await new Promise((resolve) => setTimeout(resolve, 10));
    await session.execute("await new Promise((resolve) => setTimeout(resolve, 10)); 3");
    await expect
      .poll(() => told)
      .toStrictEqual([
        "session yes",
        "console of one a",
        "finished 1",
        "failed GuestError",
        "failed StoppedError",
        "finished 2",
        "console of nobody left behind",
        "finished 3",
      ]);
    other.close();
  });

  it("sees the console while the code still runs", async () => {
    const { told } = await watching(session);
    const running = session.execute("console.log('in'); const end = Date.now() + 1_000; while (Date.now() < end); 0");
    await expect.poll(() => told).toContain("console of one in");
    expect(told).toHaveLength(2);
    await running;
    await expect.poll(() => told).toHaveLength(3);
  });

  it("is no use of the session", async () => {
    await using short = await client.createSession({ idleTtl: 1_000 });
    const { ended } = await watching(short);
    expect(await ended).toMatchObject({ code: "ABORTED", reason: "SESSION_DELETED" });
    await expect(short.info()).rejects.toThrow(NotFoundError);
  });

  it("ends with the session, with its signal, and with its loop", async () => {
    const abort = new AbortController();
    const [deleted, aborted] = [await watching(session), await watching(session, abort.signal)];
    abort.abort(new Error("seen enough"));
    expect(await aborted.ended).toMatchObject({ message: "seen enough" });
    for await (const event of session.watch()) {
      expect(event.kind).toBe("session");
      break;
    }
    await client.attach(session.id).delete();
    expect(await deleted.ended).toMatchObject({ code: "ABORTED", reason: "SESSION_DELETED" });
    await expect(client.attach("nobody").watch().next()).rejects.toThrow(NotFoundError);
  });

  it("lets go of its signal when it ends, also where nobody reads that", async () => {
    const { signal } = new AbortController();
    const events = session.watch({ signal });
    await events.next();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await client.attach(session.id).delete();
    await expect.poll(() => getEventListeners(signal, "abort")).toHaveLength(0);
    await expect(events.next()).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });

  it("goes on after a value that cannot be read here", async () => {
    const lacking = vi.stubGlobal("Float16Array", undefined);
    try {
      const events = session.watch();
      await events.next();
      await expect(session.execute("new Float16Array(2)")).rejects.toThrow("which this JavaScript lacks");
      await expect(session.execute("throw new Float16Array(2)")).rejects.toBeInstanceOf(GuestError);
      await session.execute("3");
      const told = [await events.next(), await events.next(), await events.next()].map(({ value }) => value);
      expect(told).toMatchObject([
        { kind: "finished", execution: { value: { preview: expect.stringContaining("Float16Array") } } },
        { kind: "failed", error: { guestName: "", thrown: undefined } },
        { kind: "finished", execution: { value: 3 } },
      ]);
      expect((told[0] as SessionEvent & { kind: "finished" }).execution.value).toBeInstanceOf(Preview);
    } finally {
      lacking.unstubAllGlobals();
    }
  });

  it("that is too slow is ended, and disturbs nobody", async () => {
    const events = session.watch();
    await events.next();
    await session.execute("var text = 'x'.repeat(100_000)");
    for (let i = 0; i < 120; i++) await session.execute("console.log(text)");
    const reading = (async () => {
      for await (const event of events) expect(event.kind).not.toBe("session");
    })();
    await expect(reading).rejects.toMatchObject({ name: "ResourceExhaustedError", reason: "QUOTA_EXCEEDED" });
    expect(await session.execute("1")).toBe(1);
  });
});
