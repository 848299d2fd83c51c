/**
 * Threads that run guest code are ended at random moments, from outside and by hanging them, while 20 sessions are busy; and
 * whatever was acknowledged is found exactly once, whatever was undone nowhere.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { type Livescope, type Session, StoppedError } from "@livescope/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";

/** Kills of the storm. The long run is that of .ci/run. */
const KILLS = isLong ? 1_000 : 15;
const SESSIONS = 20;

/** Threads of this process that live: the server's, whatever it uses them for. */
const threads = new Set<Worker>();
function watchThreads(thread: Worker): void {
  threads.add(thread);
  thread.once("exit", () => threads.delete(thread));
}
// Before the server starts its own.
process.on("worker", watchThreads);
afterAll(() => void process.off("worker", watchThreads));

const WORKERS = 3;
const served = withServer({ workers: WORKERS });

/** Drawn anew for every run; a failure tells it. */
const seed = Number(process.env.LIVESCOPE_SEED ?? Date.now() % 1e9);
let state = seed;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const SETUP = `
  const log = [], kept = [];
  const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
  function push(mark) { log.push(mark); return mark }
  // Work for the allocator, so that a thread ended in the middle of it leaves something to put back.
  function work(n) { for (let i = 0; i < n; i++) { kept.push({ i, text: "x".repeat(i % 40) }); if (kept.length > 2000) kept.splice(0, 1000) } }`;

/** What one execution did to the log, as its answer and the log must agree. */
interface Done {
  readonly id: string;
  readonly kind: keyof typeof PROGRAMS;
  /** It gave its value. */
  readonly isAcknowledged: boolean;
  readonly emitted: readonly string[];
}

/** Programs, by what must be found of each in the log: of the marks that it pushes each at most once, and in this order. */
const PROGRAMS = {
  call: (id: string) => ({ code: `work(${random(300)}); push("${id}a")`, marks: ["a"] }),
  steps: (id: string) => ({
    code: `push("${id}a"); work(${random(200)}); await sleep(${random(15)}); push("${id}b"); await sleep(1); push("${id}c")`,
    marks: ["a", "b", "c"],
  }),
  host: (id: string) => ({
    code: `push("${id}a"); push((await host("${id}")) + "b"); work(100)`,
    marks: ["a", "b"],
  }),
  atomic: (id: string) => ({
    code: `push("${id}a"); await sleep(${random(10)}); work(300); push("${id}b")`,
    marks: ["a", "b"],
  }),
  emits: (id: string) => ({
    code: `push("${id}a"); for (const n of "123") { await emit("${id}" + n); await sleep(1) } push("${id}b")`,
    marks: ["a", "b"],
  }),
  hangs: (id: string) => ({ code: `work(50); push("${id}a"); new Array(1e9) + ""`, marks: ["a"] }),
} as const;
const KINDS = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];

describe("a storm of kills", () => {
  let client: Livescope;
  const sessions: Session[] = [];
  /** How often each execution's call arrived here. */
  const arrived = new Map<string, number>();

  beforeAll(async () => {
    client = served.client;
    for (let i = 0; i < SESSIONS; i++) {
      const session = await client.createSession({ setup: SETUP, limits: { timeout: 300_000 } });
      await session.expose({
        host: async (id: string) => {
          arrived.set(id, (arrived.get(id) ?? 0) + 1);
          await sleep(random(10));
          return id;
        },
      });
      sessions.push(session);
    }
  });

  async function run(session: Session, id: string): Promise<Done> {
    const kind = random(12) === 0 ? "hangs" : (KINDS[random(KINDS.length - 1)] as (typeof KINDS)[number]);
    const { code } = PROGRAMS[kind](id);
    const emitted: string[] = [];
    const limits = kind === "hangs" ? { cpuTime: 20 + random(60) } : {};
    try {
      if (kind === "emits") {
        const stream = session.stream<string>(code);
        for await (const value of stream) emitted.push(value);
        await stream.execution();
      } else await session.execute(code, { limits, atomic: kind === "atomic" });
      return { id, kind, isAcknowledged: true, emitted };
    } catch (error) {
      // A thread that was ended is an outcome, never a status.
      if (!(error instanceof StoppedError)) throw error;
      const reasons = kind === "hangs" ? ["ENGINE_TRAP", "CPU_TIME"] : ["ENGINE_TRAP"];
      expect(reasons).toContain(error.reason);
      return { id, kind, isAcknowledged: false, emitted };
    }
  }

  test(
    `of ${KILLS} at random moments loses and repeats nothing`,
    async () => {
      let isOver = false;
      const all = await Promise.all([
        ...sessions.flatMap((session, s) =>
          // Two at a time in each session, so that some wait and some interleave.
          ["x", "y"].map(async (lane) => {
            const done: Done[] = [];
            for (let i = 0; !isOver; i++) {
              done.push(await run(session, `${s}${lane}${i}-`));
              await sleep(random(8));
            }
            return { session, done };
          }),
        ),
        (async () => {
          for (let kills = 0; kills < KILLS; ) {
            await sleep(5 + random(60));
            const victims = [...threads];
            const victim = victims[random(victims.length)];
            if (victim === undefined) continue;
            kills++;
            await victim.terminate();
          }
          isOver = true;
          return { session: undefined, done: [] };
        })(),
      ]);

      const told = `seed ${seed}`;
      let acknowledged = 0;
      let stopped = 0;
      for (const session of sessions) {
        const log = await session.execute<string[]>("log");
        const found = new Map<string, string[]>();
        for (const mark of log) {
          const id = mark.slice(0, -1);
          found.set(id, [...(found.get(id) ?? []), mark.slice(-1)]);
        }
        const done = all.flatMap((lane) => (lane.session === session ? lane.done : []));
        for (const { id, kind, isAcknowledged, emitted } of done) {
          const marks: readonly string[] = PROGRAMS[kind](id).marks;
          const here = found.get(id) ?? [];
          const what = `${told}: ${kind} ${id} left ${here.join("")}`;
          found.delete(id);
          if (isAcknowledged) acknowledged++;
          else stopped++;
          if (isAcknowledged) expect(here, what).toEqual(marks);
          // Turns that ended before it was stopped stand, in order; of one turn alone, and of an atomic one, nothing does.
          else if (kind === "atomic" || kind === "call" || kind === "hangs") expect(here, what).toEqual([]);
          else expect(here, what).toEqual(marks.slice(0, Math.min(here.length, marks.length - 1)));
          expect(emitted, what).toEqual([1, 2, 3].slice(0, emitted.length).map((n) => `${id}${n}`));
          if (kind === "emits" && isAcknowledged) expect(emitted.length, what).toBe(3);
          if (kind === "host" && isAcknowledged) expect(arrived.get(id), what).toBe(1);
          expect(arrived.get(id) ?? 0, what).toBeLessThanOrEqual(1);
        }
        expect([...found.keys()], `${told}: of nobody`).toEqual([]);
      }
      // It was a storm, and work was done in it.
      expect(stopped).toBeGreaterThan(KILLS / 20);
      expect(acknowledged).toBeGreaterThan(KILLS / 20);
    },
    KILLS * 600 + 60_000,
  );

  test("leaves as many threads as there were, and sessions that work", async () => {
    // One more than run guest code: the spare.
    await expect.poll(() => threads.size, { timeout: 10_000 }).toBe(WORKERS + 1);
    for (const session of sessions) expect(await session.execute("push('end'); log.at(-1)")).toBe("end");
  });
});

describe("a hung worker", () => {
  const HANG = 'new Array(1e9) + ""';

  test("delays no other session", async () => {
    const { client } = served;
    await using hung = await client.createSession();
    await using other = await client.createSession({ setup: "let n = 0" });
    const order: string[] = [];
    const hanging = hung.execute(HANG, { timeout: 2_000 }).catch(({ reason }) => order.push(reason));
    // While that hangs, more calls are answered one after the other than would be if each waited for it.
    for (let i = 1; i <= 50; i++) expect(await other.execute("++n")).toBe(i);
    order.push("others");
    await hanging;
    expect(order).toEqual(["others", "TIMEOUT"]);
  });

  test("with all others hung too makes a call wait until one of them is ended, and no longer", async () => {
    const { client } = served;
    const hung = await Promise.all(Array.from({ length: WORKERS }, () => client.createSession()));
    await using other = await client.createSession({ setup: "let n = 0" });
    const order: string[] = [];
    const abort = new AbortController();
    const hanging = hung.map((session, i) =>
      session
        .execute(HANG, i === 0 ? { timeout: 1_000 } : { timeout: 60_000, signal: abort.signal })
        .catch((error: { reason?: string }) => order.push(error.reason ?? "aborted")),
    );
    await sleep(200);
    expect(await other.execute("++n")).toBe(1);
    order.push("other");
    await hanging[0];
    // Freed by the end of the first thread, whose answer comes at about the same time: the others would have hung for a minute.
    expect(order.sort()).toEqual(["TIMEOUT", "other"]);
    // Their threads are ended as well.
    abort.abort();
    await Promise.all(hanging);
    await Promise.all(hung.map((session) => session.delete()));
    expect(await other.execute("n")).toBe(1);
  });
});
