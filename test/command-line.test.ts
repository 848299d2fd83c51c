import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Livescope } from "@livescope/sdk";
import { afterEach, describe, expect, test } from "vitest";
import { MAIN } from "./support/built-command.js";
import { isLong } from "./support/is-long.js";

const started: ChildProcessWithoutNullStreams[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function start(...flags: string[]): ChildProcessWithoutNullStreams {
  // Of a flag that is given twice the last one counts.
  const child = spawn(process.execPath, [MAIN, "--log-level", "silent", "--data", "none", ...flags]);
  started.push(child);
  return child;
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += chunk;
  return text;
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr, [code]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    once(child, "exit") as Promise<[number]>,
  ]);
  return { code, stdout, stderr };
}

/** The address in the line that says it is ready. */
async function ready(child: ChildProcessWithoutNullStreams): Promise<string> {
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  const match = /^livescope listening on (\S+)\n$/.exec(chunk.toString());
  if (match?.[1] === undefined) throw new Error(`unexpected first output: ${chunk}`);
  return match[1];
}

/** A pipe into which nothing fits any more; writing to it blocks. Whoever asks closes it. */
function fullPipe(): number {
  const folder = mkdtempSync(join(tmpdir(), "livescope-log-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  // Also for reading: without a reader a write fails at once.
  const pipe = openSync(path, constants.O_RDWR);
  const filler = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  rmSync(folder, { recursive: true });
  expect(() => {
    for (;;) writeSync(filler, Buffer.alloc(4_096));
  }).toThrow("EAGAIN");
  closeSync(filler);
  return pipe;
}

describe("the command line", () => {
  test("says in one line where it listens, and serves there", async () => {
    const address = await ready(start("--address", "127.0.0.1:0"));
    await using client = await Livescope.connect(address);
    expect(await client.execute("6 * 7")).toBe(42);
  });

  test("serves by the command of that name as well", async () => {
    const child = spawn(process.execPath, [MAIN, "serve", "--data", "none", "--address", "127.0.0.1:0"]);
    started.push(child);
    expect(await ready(child)).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "finishes what runs on %s, takes nothing new, and exits with 0",
    async (signal) => {
      const child = start("--address", "127.0.0.1:0");
      const exit = once(child, "exit");
      const address = await ready(child);
      await using client = await Livescope.connect(address);
      const session = await client.createSession();
      await session.execute("function spin(ms) { const end = Date.now() + ms; while (Date.now() < end); return ms }");
      const running = session.call("spin", [600]);
      const queued = session.call("spin", [1]);
      await expect.poll(async () => (await session.info()).lastUseTime).toBeDefined();
      child.kill(signal);
      const late = (async () => {
        for (;;) await session.execute("1");
      })();
      expect(await running).toBe(600);
      expect(await queued).toBe(1);
      await expect(late).rejects.toMatchObject({ code: "UNAVAILABLE" });
      expect(await exit).toEqual([0, null]);
    },
  );

  // What is wrong with flags themselves is tested beside them, server/src/cli/program.test.ts.
  const refused: [flags: string[], sentence: string][] = [
    [["--nonsense"], "--nonsense"],
    [["extra"], "extra"],
    [["--data", MAIN], "is not a directory"],
    [["--data", `${MAIN}/data`], "cannot be made"],
    [["--key-file", MAIN], "exactly 32 bytes"],
    [["--key-file", `${MAIN}.key`], "is not there; make one with"],
  ];
  // Each is a process.
  const chosen = isLong ? refused : refused.filter((_, i) => i % 2 === 0);
  test.each(chosen)("refuses %j in one clear line with exit code 2", async (flags, sentence) => {
    const { code, stdout, stderr } = await ended(start(...flags));
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^livescope: [^\n]+\n$/);
    expect(stderr).toContain(sentence);
  });

  test("refuses a taken port in one clear line with exit code 2", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const { code, stderr } = await ended(start("--address", `127.0.0.1:${port}`));
    other.close();
    expect(code).toBe(2);
    expect(stderr).toMatch(/^livescope: [^\n]+\n$/);
    expect(stderr).toContain(`127.0.0.1:${port}`);
  });

  test("listens beyond loopback only when told that this is insecure", async () => {
    expect(await ready(start("--address", "0.0.0.0:0", "--insecure"))).toMatch(/^0\.0\.0\.0:\d+$/);
  });

  test("gives all sessions together no more than --max-memory", async () => {
    await using client = await Livescope.connect(await ready(start("--address", "127.0.0.1:0", "--max-memory", "8")));
    expect(await client.execute("new ArrayBuffer(4 << 20).byteLength >> 20")).toBe(4);
    await expect(client.execute("new ArrayBuffer(9 << 20)")).rejects.toThrow("--max-memory");
  });

  test.each(["cannot be written", "is full, and read by nobody"])(
    "serves and ends well where its log %s",
    async (how) => {
      const log = how === "cannot be written" ? openSync(MAIN, "r") : fullPipe();
      const child = spawn(process.execPath, [MAIN, "--data", "none", "--address", "127.0.0.1:0"], {
        stdio: ["pipe", "pipe", log],
      }) as ChildProcessWithoutNullStreams;
      started.push(child);
      const exit = once(child, "exit");
      const client = await Livescope.connect(await ready(child));
      expect(await client.execute("6 * 7")).toBe(42);
      client.close();
      child.kill("SIGTERM");
      expect(await exit).toEqual([0, null]);
      closeSync(log);
    },
  );

  test("says that its output cannot be written", async () => {
    const output = openSync(MAIN, "r");
    const child = spawn(
      process.execPath,
      [MAIN, "--data", "none", "--address", "127.0.0.1:0", "--log-level", "silent"],
      {
        stdio: ["pipe", output, "pipe"],
      },
    );
    closeSync(output);
    const [stderr, [code]] = await Promise.all([textOf(child.stderr as NodeJS.ReadableStream), once(child, "exit")]);
    expect(stderr).toMatch(/^livescope: the output cannot be written: [^\n]+\n$/);
    expect(code).toBe(2);
  });

  test("lists its flags", async () => {
    const { code, stdout } = await ended(start("--help"));
    expect(code).toBe(0);
    for (const flag of [
      "--address",
      "--workers",
      "--max-sessions",
      "--max-memory",
      "--data",
      "--key-file",
      "--insecure",
    ])
      expect(stdout).toContain(flag);
  });
});
