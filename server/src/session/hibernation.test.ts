import { expect, test } from "vitest";
import { Engine } from "../engine/engine.js";
import { MemoryStore } from "../store/memory.js";
import { Hibernation } from "./hibernation.js";
import { sessionLimits } from "./limits.js";
import { Session } from "./session.js";
import { Watchers } from "./watchers.js";

const signingKey = (key: string) => async () => Buffer.alloc(32, key);

test("an image that another key sealed, or that was changed, is a lost session and is not run", async () => {
  const engine = await Engine.start({ workers: 1 });
  try {
    const store = new MemoryStore();
    const hibernation = new Hibernation(engine, store, signingKey("ours"));
    const init = {
      labels: new Map(),
      limits: sessionLimits({}),
      idleTtl: 1_000,
      idleAction: "delete",
      parent: "",
    } as const;
    const session = new Session(engine, { ...init, sessionId: "a" });
    await session.rest((info, saved) => hibernation.put(info, saved));
    const wake = () =>
      hibernation.load("a", async (saved) => {
        const info = await hibernation.find("a");
        if (info === undefined) throw new Error("it is not there");
        return Session.wake(engine, info, saved, new Watchers());
      });
    expect((await wake()).sessionId).toBe("a");

    const stored = await store.session("a");
    const image = await store.sessionImage("a");
    if (stored === undefined || image === undefined) throw new Error("it is not there");
    await store.putSession(stored, image.with(image.length >> 1, (image[image.length >> 1] ?? 0) ^ 1));
    await expect(wake()).rejects.toMatchObject({ reason: "SESSION_LOST" });
    await store.putSession(stored, image);
    expect((await wake()).sessionId).toBe("a");

    const stranger = new Hibernation(engine, store, signingKey("theirs"));
    await expect(stranger.find("a")).rejects.toMatchObject({ reason: "SESSION_LOST" });
    await expect(stranger.load("a", async () => undefined)).rejects.toMatchObject({ reason: "SESSION_LOST" });
  } finally {
    await engine.close();
  }
});
