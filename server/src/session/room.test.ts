import { afterEach, describe, expect, it } from "vitest";
import type { Engine } from "../engine/engine.js";
import type { LiveSessions } from "./live-sessions.js";
import { A_FRESH_ONE, Room } from "./room.js";
import type { Session } from "./session.js";
import type { SessionsAtRest } from "./sessions-at-rest.js";

const closings: (() => void)[] = [];
afterEach(() => {
  for (const close of closings.splice(0)) close();
});

/** A room that is full of sessions, of which the first was not used for longest. */
function fullOf(count: number) {
  const sessions = Array.from({ length: count }, (_, i) => ({ name: i, lastUsedAt: i, mayRest: true }));
  const live = new Set(sessions);
  const rested: number[] = [];
  let looks = 0;
  const liveSessions = {
    get size() {
      return live.size;
    },
    all: () => {
      looks++;
      return [...live];
    },
    expire: () => 0,
  } as unknown as LiveSessions;
  const atRest = {
    mayTake: () => true,
    put: (session: Session) => {
      const { name } = session as unknown as (typeof sessions)[number];
      rested.push(name);
      return Promise.resolve(live.delete(sessions[name] as (typeof sessions)[number]));
    },
    close: () => undefined,
  } as unknown as SessionsAtRest;
  const engine = { couldHold: () => true, hasRoomFor: () => true } as unknown as Engine;
  const room = new Room(engine, liveSessions, atRest, { maximum: count, hibernateAfter: Number.POSITIVE_INFINITY });
  closings.push(() => room.close());
  const bringIn = (): Promise<void> =>
    room.bringIn(A_FRESH_ONE, 0, () => {
      const name = sessions.length;
      const fresh = { name, lastUsedAt: name, mayRest: true };
      sessions.push(fresh);
      live.add(fresh);
      return Promise.resolve();
    });
  return { sessions, rested, bringIn, looks: () => looks };
}

describe("a full room", () => {
  it("is not looked through for each who comes in", async () => {
    const { rested, bringIn, looks } = fullOf(1_000);
    for (let i = 0; i < 50; i++) await bringIn();
    expect(rested).toEqual(Array.from({ length: 50 }, (_, i) => i));
    // One more after each sweep, should one come meanwhile.
    expect(looks()).toBeLessThan(25);
  });

  it("keeps those that were used since it was looked through", async () => {
    const { sessions, rested, bringIn } = fullOf(10);
    await bringIn();
    Object.assign(sessions[1] as object, { lastUsedAt: 100 });
    for (let i = 0; i < 12; i++) await bringIn();
    expect(rested).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  });
});
