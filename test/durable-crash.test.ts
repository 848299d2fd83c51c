/** A durable session loses nothing that was answered, and does nothing twice, however its server ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { connect, LOGBOOK, Logbook } from "./support/durable-load.js";
import { DurableServer, type Failpoint } from "./support/durable-server.js";
import { isLong } from "./support/is-long.js";
import { Mutant } from "./support/mutant.js";

const ROUNDS = 50;
const SESSIONS = 6;
const SOME_STEPS = 3;
/** Milliseconds in which a commit that comes late has come; see support/failpoint.mjs. */
const LATE = 2_000;

async function makeLogbooks(address: string, count: number): Promise<Logbook[]> {
  await using client = await connect(address);
  const made: Logbook[] = [];
  for (let i = 0; i < count; i++) {
    const session = await client.createSession({ durability: "durable", limits: { timeout: 60_000 }, setup: LOGBOOK });
    made.push(new Logbook(session.id));
  }
  return made;
}

async function wrongsOf(server: DurableServer, logbooks: readonly Logbook[]): Promise<string[]> {
  await using client = await connect(server.address);
  for (const logbook of logbooks) await logbook.finish(client);
  return (await Promise.all(logbooks.map((logbook) => logbook.wrongs(client)))).flat();
}

/** Resolves when each of the sessions has gone on. */
async function someMore(logbooks: readonly Logbook[]): Promise<void> {
  const before = logbooks.map(({ steps }) => steps.length);
  const goOn = (): boolean => logbooks.every(({ steps }, i) => steps.length >= (before[i] ?? 0) + SOME_STEPS);
  await expect.poll(goOn, { timeout: 20_000 }).toBe(true);
}

/** Has a server end at a failpoint while sessions are worked on, starts it again, and tells what is wrong then. */
async function crashAt(failpoint: Failpoint, main?: string): Promise<string[]> {
  await using server = await DurableServer.make();
  await server.start(undefined, { main });
  const logbooks = await makeLogbooks(server.address, 2);
  await server.process.kill();
  await server.start(failpoint, { main });
  const stop = new AbortController();
  const writing = logbooks.map((logbook) => logbook.write(server.address, stop.signal));
  await expect.poll(() => server.hasEnded, { timeout: 15_000 }).toBe(true);
  await server.start(undefined, { main });
  await someMore(logbooks);
  stop.abort();
  await Promise.all(writing);
  // Awaited here: the server ends with this function.
  return await wrongsOf(server, logbooks);
}

const ALL_POINTS: readonly Failpoint[] = [
  { at: "lost", count: 7 },
  { at: "kept", count: 8 },
  { at: "run", count: 9 },
  { at: "rebased", count: 1 },
  { at: "commit", count: 7 },
  { at: "run", count: 1 },
  { at: "run", count: 14 },
  { at: "commit", count: 1 },
  { at: "commit", count: 8 },
  { at: "commit", count: 9 },
  { at: "kept", count: 1 },
  { at: "kept", count: 7 },
  { at: "kept", count: 9 },
  { at: "rebase", count: 1 },
];
const POINTS = isLong ? ALL_POINTS : ALL_POINTS.slice(0, 1);

describe("a durable session does each step once when the server's process ends", () => {
  test.each(POINTS)("at $at $count", async (failpoint) => {
    expect(await crashAt(failpoint)).toEqual([]);
  });

  test.runIf(isLong)(`at any moment, ${ROUNDS} times`, { timeout: 600_000 }, async () => {
    await using server = await DurableServer.make();
    await server.start();
    const logbooks = await makeLogbooks(server.address, SESSIONS);
    const stop = new AbortController();
    const writing = logbooks.map((logbook) => logbook.write(server.address, stop.signal));
    for (let round = 0; round < ROUNDS; round++) {
      await someMore(logbooks);
      await sleep(Math.random() * 300);
      await server.process.kill();
      await server.start();
    }
    await someMore(logbooks);
    stop.abort();
    await Promise.all(writing);
    expect(await wrongsOf(server, logbooks)).toEqual([]);
  });
});

/** A store that says that it failed, and writes what it was given all the same, when the session has gone on from elsewhere. */
async function failLate(main?: string): Promise<string[]> {
  await using server = await DurableServer.make();
  await server.start({ at: "late", count: 9 }, { main });
  const logbooks = await makeLogbooks(server.address, 1);
  const stop = new AbortController();
  const writing = logbooks.map((logbook) => logbook.writeOnce(server.address, stop.signal));
  await sleep(LATE);
  stop.abort();
  await Promise.all(writing);
  // What is in memory may be right where what is kept is not.
  await server.process.kill();
  await server.start(undefined, { main });
  // Awaited here: the server ends with this function.
  return await wrongsOf(server, logbooks);
}

test("a commit that comes late, from a hand that has lost the session, is refused", async () => {
  expect(await failLate()).toEqual([]);
});

/** What is wrong at the first of some commits at which something is: not each of them answers anybody. */
async function wrongAtSome(at: Failpoint["at"], main: string): Promise<string[]> {
  for (let count = 7; count < 13; count++) {
    const wrongs = await crashAt({ at, count }, main).catch((error: unknown) => [String(error)]);
    if (wrongs.length > 0) return wrongs;
  }
  return [];
}

describe.runIf(isLong)("the test notices a server that", () => {
  const DURABLE_TABLES = "store/durable-tables.js";

  test("answers before the commit", async () => {
    using mutant = new Mutant([
      {
        file: "session/commits.js",
        replace: "if (this.#writer === undefined || this.isHeld())",
        by: "if (leave !== undefined)",
      },
    ]);
    expect(await wrongAtSome("lost", mutant.main)).not.toEqual([]);
  });

  test("does not keep outcomes by their request ids", async () => {
    using mutant = new Mutant([
      { file: "session/durable-writer.js", replace: "outcomes: state.answers.map(outcomeOf)", by: "outcomes: []" },
    ]);
    expect(await wrongAtSome("kept", mutant.main)).not.toEqual([]);
  });

  test("takes a commit from any hand", async () => {
    using mutant = new Mutant([
      {
        file: DURABLE_TABLES,
        replace: "now.owner > owner || now.version !== version - 1",
        by: "now.owner < 0",
      },
      { file: DURABLE_TABLES, replace: '"INSERT INTO durable_deltas', by: '"INSERT OR REPLACE INTO durable_deltas' },
    ]);
    // On a busy machine the session may not have come so far when the commit comes, that its damage shows.
    let damage: string[] = [];
    for (let i = 0; i < 4 && damage.length === 0; i++) {
      damage = await failLate(mutant.main).catch((error: unknown) => [String(error)]);
    }
    expect(damage).not.toEqual([]);
  });
});
