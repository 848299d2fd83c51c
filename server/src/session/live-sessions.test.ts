import { expect, test } from "vitest";
import { LiveSessions } from "./live-sessions.js";
import type { Session } from "./session.js";
import { Tombstones } from "./tombstones.js";

/** Sessions that nobody used for their idle_ttl, and the ids of those that ended. */
function expired(count: number) {
  const ended: string[] = [];
  const live = new LiveSessions(new Tombstones(), {
    lost: () => undefined,
    ended: (sessionId) => void ended.push(sessionId),
  });
  for (let i = 0; i < count; i++) {
    const session = {
      sessionId: `s${i}`,
      createdAt: 1,
      idleAction: "delete",
      isIdle: true,
      isHeld: false,
      expiresAt: 0,
    };
    live.add({ ...session, end: async () => undefined } as unknown as Session);
  }
  return { live, ended };
}

test("of sessions that expire together so many end at a time as is asked for, the oldest first", () => {
  const { live, ended } = expired(5);
  expect([live.expire(2), live.size, ended]).toEqual([2, 3, ["s0", "s1"]]);
  expect([live.expire(10), live.size, live.expire(10)]).toEqual([3, 0, 0]);
});

test("one that is expired is not seen, and ends when it is asked for", () => {
  const { live, ended } = expired(3);
  expect([live.allFound(), live.size]).toEqual([[], 3]);
  expect([live.find("s1"), live.size, ended]).toEqual([undefined, 2, ["s1"]]);
});
