import { once } from "node:events";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  ExportSnapshotResponse,
  GetServerInfoResponse,
  GetSnapshotResponse,
  SandboxServiceService,
  SnapshotServiceService,
} from "@livescope/proto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CommandLine, documents } from "../support/command.js";
import { isLong } from "../support/is-long.js";
import { run } from "../support/run.js";
import { withServer } from "../support/server.js";

const served = withServer();
const commands = new CommandLine(() => served.server.address);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "livescope-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

afterEach(async () => {
  for await (const { sessionId } of served.client.listSessions()) await served.client.attach(sessionId).delete();
  for await (const snapshot of served.client.listSnapshots()) await served.client.deleteSnapshot(snapshot);
});

describe("livescope sessions", () => {
  test("lists what there is, as a table and as documents", async () => {
    expect(await commands.output("sessions")).toBe("ID  STATE  MEMORY  HANDLES  AGE  LABELS\n");
    await served.client.createSession({ sessionId: "one", labels: { user: "ann", b: "x" } });
    const two = await served.client.createSession({ sessionId: "two", labels: { user: "bob" } });
    const running = two.execute("await new Promise((done) => setTimeout(done, 20_000))").catch(() => undefined);
    await expect.poll(async () => (await two.info()).expireTime).toBeUndefined();
    const [head, ...rows] = (await commands.output("sessions")).trimEnd().split("\n");
    expect(head).toMatch(/^ID {3}STATE {4}MEMORY {3}HANDLES {2}AGE {2}LABELS$/);
    expect(rows).toEqual([
      expect.stringMatching(/^one {2}idle {5}\d+ KiB {2}0 {8}\d s {2}b=x user=ann$/),
      expect.stringMatching(/^two {2}running {2}\d+ KiB {2}0 {8}\d s {2}user=bob$/),
    ]);
    expect(await commands.json("sessions", "--label", "user=ann", "--label", "b=x")).toMatchObject([
      { sessionId: "one", state: "ACTIVE", labels: { user: "ann", b: "x" } },
    ]);
    await two.delete();
    await running;
  });

  test("makes and deletes them", async () => {
    expect(await commands.output("sessions", "create", "mine", "-l", "a=b", "--idle", "2h")).toBe("mine\n");
    const mine = served.client.attach("mine");
    expect(await mine.info()).toMatchObject({ labels: { a: "b" }, idleTtl: 7_200_000 });
    const [made] = await commands.json("sessions", "create");
    expect(made).toMatchObject({ sessionId: expect.stringMatching(/^[\w-]{22}$/), handleCount: 0 });
    expect(await commands.run(["sessions", "create", "mine"])).toMatchObject({ code: 3, stdout: "" });
    // This server keeps nothing on disk.
    expect(await commands.run(["sessions", "create", "--durable"])).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^livescope: durability: .*--data DIR.*\n$/),
    });
    const deleted = await commands.run(["sessions", "delete", "gone", "mine"]);
    expect(deleted).toMatchObject({ code: 3, stderr: expect.stringContaining("there is no session gone") });
    await expect(mine.info()).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });
});

test.runIf(isLong)("an id that begins with a dash, as callers may choose one, stands behind two of them", async () => {
  const id = "-mine";
  expect(await commands.output("sessions", "create", "--", id)).toBe(`${id}\n`);
  expect(await commands.output("run", "--session=-mine", "-p", "-e", "6 * 7")).toBe("42\n");
  expect(await commands.output("sessions", "delete", "--", id)).toBe("");
});

describe("livescope fork", () => {
  test("prints the ids of the copies", async () => {
    const session = await served.client.createSession({ setup: "let n = 7" });
    const ids = (await commands.output("fork", session.id, "-n", "2", "-l", "copy=yes")).trimEnd().split("\n");
    expect(ids).toHaveLength(2);
    for (const id of ids) expect(await served.client.attach(id).execute("n")).toBe(7);
    expect(await commands.json("fork", session.id)).toMatchObject([{ parent: session.id }]);
    expect(await commands.run(["fork", "gone"])).toMatchObject({ code: 3, stdout: "" });
    expect(await commands.run(["fork", session.id, "-n", "0"])).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("livescope snapshot", () => {
  test("goes from a session to a file to another session", async () => {
    await served.client.createSession({ sessionId: "origin", setup: "let n = 7" });
    const path = join(folder, "a.snapshot");
    const id = (await commands.output("snapshot", "origin", "--out", path, "--ttl", "1h", "-l", "k=v")).trim();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["a.snapshot"]);
    const list = (await commands.output("snapshot", "list")).trimEnd().split("\n");
    expect(list).toEqual([
      expect.stringMatching(/^ID +SESSION +SIZE +AGE +ENDS IN +LABELS$/),
      expect.stringMatching(new RegExp(`^${id}  origin +\\d+(?:\\.\\d)? KiB +\\d s +59 m +k=v$`)),
    ]);
    expect(await commands.json("snapshot", "list", "--label", "k=other")).toEqual([]);

    await commands.output("snapshot", "delete", id);
    expect(await commands.run(["snapshot", "delete", id])).toMatchObject({ code: 3 });
    expect(await commands.output("snapshot", "import", path)).toBe(`${id}\n`);
    expect(await commands.output("snapshot", "restore", id, "--id", "again")).toBe("again\n");
    expect(await served.client.attach("again").execute("n")).toBe(7);

    const copy = join(folder, "b.snapshot");
    expect(await commands.output("snapshot", "export", id, "--out", copy)).toBe("");
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
  });

  test("writes bytes to standard output, and takes them from standard input", async () => {
    const session = await served.client.createSession();
    const command = commands.start(["snapshot", session.id, "--out", "-"]);
    const chunks: Buffer[] = [];
    command.child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    expect((await command.ended).code).toBe(0);
    const importing = commands.start(["snapshot", "import", "-", "--json"]);
    importing.child.stdin.end(Buffer.concat(chunks));
    const { code, stdout } = await importing.ended;
    expect({ code, documents: documents(stdout) }).toMatchObject({ code: 0, documents: [{ sessionId: session.id }] });
  });

  test.runIf(isLong)("writes to what a link leads to, and into a pipe, and leaves both where they are", async () => {
    const session = await served.client.createSession();
    const id = (await commands.output("snapshot", session.id)).trim();
    const [file, link, pipe] = ["c.snapshot", "c.link", "c.pipe"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(file, "old");
    symlinkSync("c.snapshot", link);
    await commands.output("snapshot", "export", id, "--out", link);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(file)).toMatchObject({ size: (await served.client.snapshot(id)).sizeBytes });

    await run("mkfifo", [pipe]);
    const reading = readFile(pipe);
    await commands.output("snapshot", "export", id, "--out", pipe);
    expect((await reading).equals(readFileSync(file))).toBe(true);
    expect(lstatSync(pipe).isFIFO()).toBe(true);
  });

  test("names the file that it cannot write as it was typed", async () => {
    const id = (await commands.output("snapshot", (await served.client.createSession()).id)).trim();
    const path = join(folder, "nowhere", "a.snapshot");
    const stderr = `livescope: ${path}: no such file or directory\n`;
    expect(await commands.run(["snapshot", "export", id, "--out", path])).toEqual({ code: 2, stdout: "", stderr });
  });

  test.runIf(isLong)("leaves no file when it fails", async () => {
    const path = join(folder, "none.snapshot");
    expect(await commands.run(["snapshot", "export", "gone", "--out", path])).toMatchObject({ code: 3 });
    const bad = join(folder, "bad.snapshot");
    writeFileSync(bad, "no snapshot");
    expect(await commands.run(["snapshot", "import", bad])).toMatchObject({ code: 3, stdout: "" });
    const stderr = `livescope: ${folder} is a directory: give a file\n`;
    expect(await commands.run(["snapshot", "import", folder])).toEqual({ code: 2, stdout: "", stderr });
    expect(readdirSync(folder)).not.toContain("none.snapshot");
    expect(await commands.run(["snapshot"])).toMatchObject({ code: 2, stderr: expect.stringContaining("'session'") });
  });
});

test("livescope snapshot export leaves no file when a signal ends it", async () => {
  const server = new Server();
  server.addService(SandboxServiceService, {
    getServerInfo: (_: unknown, answer: sendUnaryData<GetServerInfoResponse>) =>
      answer(null, GetServerInfoResponse.create()),
  } as unknown as UntypedServiceImplementation);
  server.addService(SnapshotServiceService, {
    getSnapshot: (_: unknown, answer: sendUnaryData<GetSnapshotResponse>) =>
      answer(null, GetSnapshotResponse.fromPartial({ snapshot: { snapshotId: "endless" } })),
    exportSnapshot: (call: ServerWritableStream<unknown, ExportSnapshotResponse>) =>
      void call.write(ExportSnapshotResponse.fromPartial({ chunk: Buffer.from("the first of it") })),
  } as unknown as UntypedServiceImplementation);
  const port = await promisify(server.bindAsync.bind(server))("127.0.0.1:0", ServerCredentials.createInsecure());
  const into = mkdtempSync(join(folder, "export-"));
  try {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const args = ["snapshot", "export", "endless", "--out", join(into, "file"), "--address", `127.0.0.1:${port}`];
      const { child } = commands.start(args);
      const exited = once(child, "exit");
      await expect.poll(() => readdirSync(into), { timeout: 10_000 }).toHaveLength(1);
      child.kill(signal);
      expect(await exited).toEqual([null, signal]);
      expect(readdirSync(into)).toEqual([]);
    }
  } finally {
    server.forceShutdown();
  }
});

describe("livescope watch", () => {
  test("tells what happens until the session ends", async () => {
    const session = await served.client.createSession({ sessionId: "seen", labels: { a: "b" } });
    const lines = commands.start(["watch", "seen"]);
    const json = commands.start(["watch", "seen", "--json"]);
    await Promise.all([lines.says("session"), json.says("session")]);
    await session.execute("console.log('a\\nb'); [1]");
    await session.execute("throw new TypeError('no')", { filename: "rules.js" }).catch(() => undefined);
    await session.execute("for (;;);", { timeout: 50 }).catch(() => undefined);
    await Promise.all([lines.says("stopped"), json.says("stopped")]);
    await session.delete();
    const { code, stdout } = await lines.ended;
    expect(code).toBe(0);
    const time = String.raw`\d\d:\d\d:\d\d\.\d{3}`;
    const expected = [
      `${time}  session  idle, \\d+ KiB, 0 handles, a=b`,
      `${time}  log  [0-9a-f]{8}  a\n    b`,
      `${time}  value  [0-9a-f]{8}  \\[ 1 \\] \\(\\d+\\.\\d ms\\)`,
      `${time}  threw  [0-9a-f]{8}  TypeError: no at rules\\.js:1:\\d+`,
      `${time}  stopped  [0-9a-f]{8}  .*time limit.* \\(undone\\)`,
      `${time}  ended`,
    ];
    expect(stdout).toMatch(new RegExp(`^${expected.join("\n")}\n$`));
    expect(documents((await json.ended).stdout)).toMatchObject([
      { kind: "session", session: { sessionId: "seen" } },
      { kind: "console", entry: { text: "a\nb" } },
      { kind: "finished", outcome: "value", value: [1] },
      { kind: "failed", outcome: "exception", exception: { name: "TypeError" } },
      { kind: "failed", outcome: "stopped", stopped: { reason: "TIMEOUT" } },
      { kind: "ended" },
    ]);
  });

  test("ends on ctrl-C, after its time, and where nobody reads it", async () => {
    const session = await served.client.createSession();
    const interrupted = commands.start(["watch", session.id]);
    const piped = commands.start(["watch", session.id]);
    await Promise.all([interrupted.says("session"), once(piped.child.stdout, "data")]);
    interrupted.child.kill("SIGINT");
    expect(await interrupted.ended).toMatchObject({ code: 130, stderr: "" });
    piped.child.stdout.destroy();
    await session.execute("console.log(1)");
    await session.execute("console.log(2)");
    expect(await piped.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await commands.run(["watch", session.id, "--timeout", "100ms"])).toMatchObject({ code: 0, stderr: "" });
    expect(await commands.run(["watch", "gone"])).toMatchObject({ code: 3, stdout: "" });
  });

  test("goes on for a time that is longer than a timer can be", async () => {
    const session = await served.client.createSession();
    const watch = commands.start(["watch", session.id, "--timeout", "30d"]);
    await watch.says("session");
    await session.execute("console.log('still there')");
    await watch.says("still there");
    watch.child.kill("SIGINT");
    expect(await watch.ended).toMatchObject({ code: 130, stderr: "" });
  });
});
