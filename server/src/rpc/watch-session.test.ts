import { EventEmitter } from "node:events";
import { setImmediate as nextTick } from "node:timers/promises";
import { Encoding, WatchSessionResponse } from "@livescope/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../session/limits.js";
import type { ConsoleEntry, Outcome } from "../session/outcome.js";
import type { SessionInfo } from "../session/session-info.js";
import type { Sessions } from "../session/sessions.js";
import { Watchers } from "../session/watchers.js";
import { HeldBytes } from "./held-bytes.js";
import { OpenStreams } from "./open-streams.js";
import { Watched, watchSession } from "./watch-session.js";

const usage = { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, turns: 1, hostCalls: 0, memoryBytes: 0 };
const info: SessionInfo = {
  sessionId: "a",
  isDurable: false,
  isHibernated: false,
  labels: new Map(),
  limits: DEFAULT_LIMITS,
  idleTtl: 1,
  idleAction: "delete",
  createdAt: 0,
  lastUsedAt: 0,
  expiresAt: undefined,
  parent: "",
  usage,
  memoryBytes: 0,
  handleCount: 0,
};

function outcome(text: string): Outcome {
  const value = { kind: "json", text } as const;
  const result = { kind: "value", value } as const;
  return { executionId: "b", result, console: [], consoleTruncated: false, warnings: [], usage, undone: false };
}

test("what several watchers are told of is encoded once, and what follows is told as it is", async () => {
  const watchers = new Watchers();
  const sessions = {
    watch: (_: string, watcher: Parameters<Watchers["add"]>[0]) =>
      Promise.resolve({ info, unwatch: watchers.add(watcher) }),
  };
  const told: Buffer[][] = [[], []];
  for (const messages of told) {
    const write = (message: Buffer, taken: () => void): void => {
      messages.push(message);
      taken();
    };
    const stream = { request: { sessionId: "a" }, write };
    watchSession(sessions as unknown as Sessions, Object.assign(new EventEmitter(), stream) as never, new Watched(), {
      openStreams: new OpenStreams(),
      untaken: new HeldBytes(),
      logger: pino({ level: "silent" }),
    });
  }
  await nextTick();
  const entry: ConsoleEntry = { level: "log", text: "c", time: 0, undone: false };
  watchers.console("b", entry);
  watchers.console("b", { ...entry, text: "d" });
  for (const text of ["1", "2"]) watchers.finished(outcome(text), Encoding.JSON);
  watchers.changed({ ...info, handleCount: 1 });
  const [first = [], second = []] = told;
  for (const [i, message] of first.entries()) expect(second[i]).toBe(message);
  const updates = first.map((message) => WatchSessionResponse.decode(message).update);
  expect(updates).toMatchObject([
    { $case: "session", value: { handleCount: 0n } },
    { $case: "event", value: { executionId: "b", event: { $case: "console", value: { text: "c" } } } },
    { $case: "event", value: { executionId: "b", event: { $case: "console", value: { text: "d" } } } },
    {
      $case: "event",
      value: { event: { $case: "finished", value: { outcome: { value: { kind: { value: "1" } } } } } },
    },
    {
      $case: "event",
      value: { event: { $case: "finished", value: { outcome: { value: { kind: { value: "2" } } } } } },
    },
    { $case: "session", value: { handleCount: 1n } },
  ]);
});
