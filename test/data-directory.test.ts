/** What holds between processes: the lock of a data directory, and what is left after one was killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startServer } from "@livescope/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SqliteStore } from "../server/src/store/sqlite.js";
import { MAIN } from "./support/built-command.js";
import { isLong } from "./support/is-long.js";

const WRITER = fileURLToPath(new URL("support/store-writer.mjs", import.meta.url));
const ROUNDS = isLong ? 40 : 4;
const ALL_ROUNDS = 300_000;

let directory: string;
let root: string;
let started: ChildProcess[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "livescope-data-"));
  directory = join(root, "data");
  started = [];
});
afterEach(async () => {
  await Promise.all(started.map(kill));
  await rm(root, { recursive: true });
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

function run(...argv: string[]): ChildProcess {
  const child = spawn(process.execPath, argv, { cwd: root });
  started.push(child);
  return child;
}

/** Starts a server; gives its exit code and what it said, or "serves". */
async function serve(...flags: string[]): Promise<{ child: ChildProcess; said: string }> {
  const child = run(MAIN, "--address", "127.0.0.1:0", "--log-level", "silent", ...flags);
  let error = "";
  child.stderr?.on("data", (chunk) => {
    error += chunk;
  });
  const said = await Promise.race([
    once(child.stdout ?? child, "data").then(() => "serves"),
    once(child, "close").then(([code]) => `${code} ${error}`),
  ]);
  return { child, said };
}

describe("a data directory", () => {
  test("is one server's until that one is gone, however it went", async () => {
    await mkdir(directory, { mode: 0o700 });
    const first = await serve("--data", directory);
    expect(first.said).toBe("serves");
    const refused = await serve("--data", directory);
    expect(refused.said).toMatch(/^2 livescope: another livescope server uses [^\n]*store\.db; [^\n]*--data\n$/);
    await kill(first.child);
    const second = await serve("--data", directory);
    expect(second.said).toBe("serves");
    const exit = once(second.child, "exit");
    second.child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
    const store = new SqliteStore(directory);
    await store.open();
    await store.close();
  });

  test("is .livescope where the server was started, and is not made by starting", async () => {
    expect((await serve()).said).toBe("serves");
    expect(await readdir(root)).toEqual([]);
    const store = new SqliteStore(join(root, ".livescope"));
    await store.open();
    expect((await serve()).said).toMatch(/^2 livescope: another livescope server uses \.livescope\/store\.db/);
    await store.close();
  });

  test("is left free by a server that could not start", async () => {
    await mkdir(directory, { mode: 0o700 });
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    await expect(startServer({ data: directory, port })).rejects.toThrow("EADDRINUSE");
    other.close();
    const store = new SqliteStore(directory);
    await store.open();
    await expect(startServer({ data: directory })).rejects.toMatchObject({ name: "StoreError", kind: "busy" });
    await store.close();
  });

  test(
    `has all that was acknowledged when its process is killed, ${ROUNDS} times`,
    async () => {
      const acknowledged = new Map<string, number>();
      for (let round = 0; round < ROUNDS; round++) {
        const writer = run(WRITER, directory, String(1_000 + (round % 4) * 5_000));
        const stop = 1 + Math.floor(Math.random() * 60);
        let lines = 0;
        for await (const line of createInterface({ input: writer.stdout ?? process.stdin })) {
          const [id = "", number] = line.split(" ");
          acknowledged.set(`${round}${id}`, Number(number));
          if (++lines === stop) writer.kill("SIGKILL");
        }
        expect(lines).toBeGreaterThanOrEqual(stop);
        await checkWhatIsThere(round, 1_000 + (round % 4) * 5_000, acknowledged);
      }
    },
    ALL_ROUNDS,
  );

  async function checkWhatIsThere(
    round: number,
    bytes: number,
    acknowledged: ReadonlyMap<string, number>,
  ): Promise<void> {
    const store = new SqliteStore(directory);
    const found = new Set<string>();
    let after = "";
    do {
      const { items, next } = await store.sessions({ size: 100, after, labels: new Map(), now: 0 });
      for (const { sessionId, record, createdAt, labels } of items) {
        found.add(sessionId);
        // Whole, or not there: whatever was under way when the process ended.
        expect({ createdAt, labels }).toEqual({ createdAt: Number(record), labels: new Map([["n", record]]) });
        const image = await store.sessionImage(sessionId);
        expect(image && Buffer.compare(image, new Uint8Array(bytes).fill(Number(record)))).toBe(0);
        if (sessionId === "same") expect(createdAt).toBeGreaterThanOrEqual(acknowledged.get(`${round}same`) ?? 0);
        await store.deleteSession(sessionId);
      }
      after = next;
    } while (after !== "");
    const lost = [...acknowledged.keys()].filter(
      (key) => key.startsWith(`${round}s`) && !found.has(key.slice(`${round}`.length)),
    );
    expect(lost).toEqual([]);
    await store.close();
  }
});
