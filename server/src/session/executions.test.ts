/** Executions in flight, where their session goes on: itself, when it comes back, or a copy of it. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Engine } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import type { Execution } from "./execution.js";
import { sessionLimits } from "./limits.js";
import type { Outcome } from "./outcome.js";
import { Session } from "./session.js";
import { atTimeOf, type ExecutionRecord, NO_RECORD, type SavedSession, type SessionRecord } from "./session-record.js";
import { Watchers } from "./watchers.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

const INIT = {
  labels: new Map(),
  limits: sessionLimits({}),
  idleTtl: 60_000,
  idleAction: "delete",
  parent: "",
} as const;

const sessions: Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end(() => new SessionError("SESSION_DELETED", "over"));
});

function kept(session: Session): Session {
  sessions.push(session);
  return session;
}

function run(session: Session, code: string, requestId = ""): Execution {
  return session.submit(
    { kind: "execute", code, filename: "a.js", isModule: false, bindings: new Map() },
    {
      encoding: 2,
      handleGroup: "",
      requestId,
      digest: requestId === "" ? "" : "digest",
      atomic: false,
      parentExecutionId: "",
      deadline: Number.POSITIVE_INFINITY,
    },
  );
}

/** A session in which an execution waits that `go()` lets go on. */
async function waiting(code: string): Promise<{ session: Session; saved: SavedSession }> {
  const session = kept(new Session(engine, { ...INIT, sessionId: "a" }));
  run(session, code, "waits").outcome.catch(() => undefined);
  return { session, saved: await session.save(() => Promise.resolve()) };
}

const WAIT = "await new Promise((resolve) => { globalThis.go = resolve; setTimeout(resolve, 3_600_000); });";

/** The outcome of the one that waits, once something has been run in a session. */
async function finished(watch: (told: (outcome: Outcome) => void) => void): Promise<Outcome> {
  return new Promise((resolve) => {
    watch((outcome) => {
      if (outcome.executionId === "waits") resolve(outcome);
    });
  });
}

const watcher = (told: (outcome: Outcome) => void) => ({
  console: () => undefined,
  changed: () => undefined,
  ended: () => undefined,
  finished: told,
});

async function inItself({ info }: Session, saved: SavedSession): Promise<Outcome> {
  const watchers = new Watchers();
  const outcome = finished((told) => watchers.add(watcher(told)));
  const session = kept(await Session.wake(engine, info, saved, watchers));
  run(session, "go()").outcome.catch(() => undefined);
  return outcome;
}

async function inCopy(saved: SavedSession): Promise<Outcome> {
  const session = kept(await Session.restore(engine, { ...INIT, sessionId: "b" }, saved));
  const outcome = finished((told) => session.watch(watcher(told)));
  run(session, "go()").outcome.catch(() => undefined);
  return outcome;
}

const textsOf = ({ console }: Outcome): string[] => console.map(({ text }) => text);

test("what one wrote to its console before is in its outcome, but not in a copy's", async () => {
  const { session, saved } = await waiting(`console.log('before'); ${WAIT} console.log('after')`);
  const itself = await inItself(session, saved);
  expect([textsOf(itself), itself.consoleTruncated]).toEqual([["before", "after"], false]);
  const copy = await inCopy(saved);
  expect([textsOf(copy), copy.consoleTruncated]).toEqual([["after"], false]);
});

test("of much that was written to consoles a record has a part, and the outcome says so", async () => {
  const code = `for (let i = 0; i < 100; i++) console.log(i + 'x'.repeat(2_000)); ${WAIT} console.log('after')`;
  const { session, saved } = await waiting(code);
  const recorded = saved.record.executions.map(({ console }) => console?.entries.length);
  expect(recorded).toEqual([Math.floor(65_536 / 2_034)]);
  const outcome = await inItself(session, saved);
  expect(outcome.consoleTruncated).toBe(true);
  expect(textsOf(outcome).map((text) => Number.parseInt(text, 10))).toEqual([...Array(recorded[0]).keys(), Number.NaN]);
  expect(textsOf(outcome).at(-1)).toBe("after");
});

/** As if its record had been taken so many milliseconds earlier. */
function aged({ image, record }: SavedSession, milliseconds: number, elapsed?: number): SavedSession {
  const executions = record.executions.map((each) => ({ ...each, elapsed: elapsed ?? each.elapsed }));
  return { image, record: { ...record, executions, takenAt: record.takenAt - milliseconds } };
}

const { timeout } = INIT.limits;

test("the time of one goes on while its session is nowhere, and is over at once where it is over", async () => {
  const { session, saved } = await waiting(WAIT);
  expect((await inItself(session, aged(saved, timeout))).result).toMatchObject({ kind: "stopped", reason: "TIMEOUT" });
  expect((await inItself(session, saved)).result.kind).toBe("value");
});

test("what was recorded of one before the others counts from then", async () => {
  const { session, saved } = await waiting(WAIT);
  const { clock = 0 } = saved.record;
  const later = { ...saved, record: { ...saved.record, clock: clock + timeout } };
  expect((await inItself(session, later)).result).toMatchObject({ kind: "stopped", reason: "TIMEOUT" });
  const { clock: _, isWaiting: __, ...old } = saved.record.executions[0] as ExecutionRecord;
  const of = { ...old, elapsed: 5, hostTime: 2 };
  const at = (record: Partial<SessionRecord>, execution: ExecutionRecord) => {
    const { elapsed, hostTime } = atTimeOf({ ...NO_RECORD, ...record }, execution);
    return [elapsed, hostTime];
  };
  expect(at({ clock: 110 }, { ...of, clock: 100 })).toEqual([15, 2]);
  expect(at({ clock: 110 }, { ...of, clock: 100, isWaiting: true })).toEqual([15, 12]);
  // As versions before this one wrote it.
  expect(at({}, of)).toEqual([5, 2]);
});

test("one has the same record as long as nothing of it has changed", async () => {
  const { session, saved } = await waiting(
    `${WAIT} console.log('a'); await new Promise((resolve) => { globalThis.go = resolve })`,
  );
  const record = async () => (await session.save(() => Promise.resolve())).record.executions[0];
  const first = await record();
  expect(first).toBe(saved.record.executions[0]);
  await run(session, "1").outcome;
  expect(await record()).toBe(first);
  await run(session, "go()").outcome;
  expect(await record()).not.toBe(first);
  await run(session, "go()").outcome;
});

test("one whose time is over runs no timer that fell due meanwhile", async () => {
  const { session, saved } = await waiting("await new Promise((resolve) => setTimeout(resolve, 2_000)); 'on time'");
  // By now it has fallen due.
  await session.settled();
  expect((await inItself(session, aged(saved, timeout))).result).toMatchObject({ kind: "stopped", reason: "TIMEOUT" });
  expect((await inItself(session, saved)).result).toMatchObject({ kind: "value", value: { text: '"on time"' } });
});

test("one has no more time than was left where the clock was set back", async () => {
  const { session, saved } = await waiting(WAIT);
  expect((await inItself(session, aged(saved, -3_600_000))).result.kind).toBe("value");
  const late = await inItself(session, aged(saved, -3_600_000, timeout));
  expect(late.result).toMatchObject({ kind: "stopped", reason: "TIMEOUT" });
});

test("in a copy one has the time that was left, however long the record was kept", async () => {
  const { saved } = await waiting(WAIT);
  expect((await inCopy(aged(saved, 3_600_000))).result.kind).toBe("value");
});
