import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { MAIN } from "../support/built-command.js";
import { CommandLine, type CommandProcess, type Ended } from "../support/command.js";
import { run } from "../support/run.js";
import { withServer } from "../support/server.js";

const served = withServer();
const commands = new CommandLine(() => served.server.address);
const hasPython = (await run("python3", ["-c", "import pty"])).exitCode === 0;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "livescope-repl-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Ids of the sessions that there are. */
async function sessions(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { sessionId } of served.client.listSessions()) ids.push(sessionId);
  return ids;
}

async function snapshots(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { snapshotId } of served.client.listSnapshots()) ids.push(snapshotId);
  return ids;
}

afterEach(async () => {
  for (const id of await sessions()) await served.client.attach(id).delete();
  for (const id of await snapshots()) await served.client.deleteSnapshot(id);
});

/** Gives lines to a REPL through a pipe. */
async function typed(lines: readonly string[], ...flags: string[]): Promise<Ended & { readonly lines: string[] }> {
  const ended = await commands.run(["repl", ...flags], { input: `${lines.join("\n")}\n` });
  return { ...ended, lines: ended.stdout.trimEnd().split("\n") };
}

describe("livescope repl", () => {
  test("shows values as the session does, and leaves nothing behind", async () => {
    const { code, stderr, lines } = await typed([
      "let n = 1",
      "n + 1",
      "{ a: 1, b: 'x' }",
      "class Point { x = 1; get length() { throw 1 } }",
      "new Point",
      "await Promise.resolve(7)",
      "Promise.resolve(8)",
      "`two\nlines`",
      "'y'.repeat(200).replace(/y$/, 'z')",
      "[1, 2].map((x) => {",
      "  return x * 2",
      "})",
      "",
      "/* a comment",
      "   goes on */ 5",
      "n => n",
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(lines).toEqual([
      "undefined",
      "2",
      "{ a: 1, b: 'x' }",
      "undefined",
      "Point { x: 1 }",
      "7",
      "Promise { 8 }",
      "'two\\nlines'",
      `'${"y".repeat(199)}z'`,
      "[ 2, 4 ]",
      "5",
      "[Function (anonymous)]",
    ]);
    expect(await sessions()).toEqual([]);
    expect(await snapshots()).toEqual([]);
  });

  test("has the last value in _, unless the session has something of that name", async () => {
    const { lines } = await typed(["({ a: 5 })", "_.a + 1", "_", "globalThis._", "let _ = 'mine'", "1", "_"]);
    expect(lines).toEqual(["{ a: 5 }", "6", "6", "undefined", "undefined", "1", "'mine'"]);
  });

  test("tells what was thrown, and goes on", async () => {
    const { code, stdout, stderr } = await typed(
      [
        "console.log('out'); console.warn('err')",
        "null.x",
        "let a = ;",
        "throw { z: 1 }",
        "import fs from 'fs'",
        "for (;;);",
        "6 * 7",
        "function open() {",
      ],
      "--timeout",
      "200ms",
    );
    expect(code).toBe(0);
    expect(stdout).toBe("out\nundefined\n42\n");
    expect(stderr.split("\n")).toEqual([
      "err",
      "Uncaught TypeError: cannot read property 'x' of null",
      "    at repl2:1:5",
      "repl3:1",
      "let a = ;",
      "        ^",
      "",
      expect.stringMatching(/^Uncaught SyntaxError: /),
      "    at repl3:1:9",
      "Uncaught { z: 1 }",
      "repl5:1",
      "import fs from 'fs'",
      "^",
      "",
      expect.stringMatching(/^Uncaught SyntaxError: import and export/),
      "    at repl5:1:1",
      expect.stringMatching(/^stopped \(TIMEOUT\): /),
      "repl8:1",
      "function open() {",
      expect.stringMatching(/^ +\^$/),
      "",
      expect.stringMatching(/^Uncaught SyntaxError: /),
      expect.stringMatching(/^ {4}at repl8:1:\d+$/),
      "",
    ]);
  });

  test("undoes inputs", async () => {
    const { lines } = await typed([
      "let n = 1",
      "n = 2",
      "n = 3",
      "let broken = ;",
      ".undo",
      "n",
      ".undo 2",
      "n",
      ".undo 9",
      "typeof n",
      ".undo 2",
      ".undo",
    ]);
    expect(lines).toEqual([
      "undefined",
      "2",
      "3",
      "undone: n = 3",
      "2",
      "undone: n",
      "undone: n = 2",
      "1",
      "undone: n",
      "undone: let n = 1",
      "'undefined'",
      "undone: typeof n",
      "there is nothing to undo",
    ]);
    expect(await typed(["1", ".undo"], "--no-undo")).toMatchObject({ lines: ["1", "there is nothing to undo"] });
  });

  test("goes on in forks and in other sessions, takes snapshots and runs files", async () => {
    const other = await served.client.createSession({ sessionId: "other", setup: "let n = 100" });
    const path = join(folder, "typed.ts");
    writeFileSync(path, "const loaded: number = n * 2; console.log(loaded)");
    const { code, stderr, lines } = await typed(
      [
        "let n = 1",
        ".fork",
        "n = 2",
        ".session mine",
        "n",
        ".session other",
        "n += 1",
        `.load ${path}`,
        ".snapshot kept",
      ],
      "--create",
      "mine",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(lines).toEqual([
      "undefined",
      expect.stringMatching(/^in session [\w-]+, a copy; \.session mine goes back$/),
      "2",
      expect.stringMatching(/^in session mine: idle, \d+ KiB, 0 handles, for=repl$/),
      "1",
      expect.stringMatching(/^in session other: /),
      "101",
      "202",
      "undefined",
      expect.stringMatching(/^snapshot [\w-]{22}, /),
    ]);
    expect(await sessions()).toEqual(["other"]);
    expect(await other.execute("n")).toBe(101);
    expect((await other.info()).handleCount).toBe(0);
    const kept: unknown[] = [];
    for await (const snapshot of served.client.listSnapshots()) kept.push(snapshot);
    expect(kept).toMatchObject([{ sessionId: "other", labels: { name: "kept" } }]);
  });

  test("keeps what it made when it is told to", async () => {
    expect(await typed(["let n = 5"], "--create", "mine", "--keep")).toMatchObject({ code: 0 });
    expect(await sessions()).toEqual(["mine"]);
    expect(await typed(["n"], "--session", "mine")).toMatchObject({ code: 0, lines: ["5"] });
    expect(await sessions()).toEqual(["mine"]);
  });

  test("says what is wrong with a command", async () => {
    const wrong = [".nope", ".undo x", ".load", `.load ${folder}/gone.js`, ".session gone"];
    // And goes on.
    const { stderr, code, lines } = await typed([...wrong, "6 * 7", "locals.args.length"]);
    expect({ code, lines }).toEqual({ code: 0, lines: ["42", "0"] });
    expect(stderr.trimEnd().split("\n")).toEqual([
      "livescope: .nope is no command; .help lists them",
      "livescope: .undo x: give how many inputs to undo",
      "livescope: .load needs a file",
      `livescope: ${folder}/gone.js: no such file or directory`,
      'livescope: there is no session gone; "livescope sessions" lists those there are',
    ]);
    expect(await typed(["1"], "--session", "gone")).toMatchObject({ code: 3, stdout: "" });
    expect(await typed(["1"], "--session", "a", "--create", "b")).toMatchObject({ code: 2, stdout: "" });
  });

  test("ends when its session is gone", async () => {
    const session = await served.client.createSession({ sessionId: "short" });
    const command = commands.start(["repl", "--session", "short"]);
    command.child.stdin.write("1\n");
    await command.says("1\n");
    await session.delete();
    command.child.stdin.write("2\n3\n");
    expect(await command.ended).toMatchObject({ code: 3, stdout: expect.not.stringContaining("3\n") });
  });

  test("ends what runs on ctrl-C and keeps the session; without anything running it leaves", async () => {
    const command = commands.start(["repl"]);
    command.child.stdin.write("let n = 1; n\nn = 2; console.log('running'); for (;;);\n");
    await command.says("running");
    command.child.kill("SIGINT");
    command.child.stdin.write("n + 10\n");
    await command.says("11\n");
    command.child.kill("SIGINT");
    expect(await command.ended).toMatchObject({ code: 130, stderr: "" });
    expect(await sessions()).toEqual([]);
  });

  test("cleans up when it is told to end, whatever runs", async () => {
    const command = commands.start(["repl"]);
    command.child.stdin.write("console.log('running'); for (;;);\n");
    await command.says("running");
    command.child.kill("SIGTERM");
    expect(await command.ended).toMatchObject({ code: 143, stderr: "" });
    expect([await sessions(), await snapshots()]).toEqual([[], []]);
  });

  test("ends where nobody reads on, and leaves nothing behind", async () => {
    const command = commands.start(["repl"]);
    command.child.stdin.write("console.log('running')\n");
    await command.says("running");
    command.child.stdout.destroy();
    command.child.stdin.write("'is not read'\n");
    expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
    expect([await sessions(), await snapshots()]).toEqual([[], []]);
  });

  test("leaves nothing behind either where nobody reads its last words", async () => {
    const command = commands.start(["repl"]);
    command.child.stdin.write("console.log('running')\n");
    await command.says("running");
    command.child.stdout.destroy();
    command.child.stdin.end("'is not read'\n");
    expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
    expect([await sessions(), await snapshots()]).toEqual([[], []]);
  });
});

describe.skipIf(!hasPython)("livescope repl at a terminal (skipped without python3)", () => {
  const PROGRAM = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
  const UP = "\u001b[A";
  /** What Node's `hasColors` goes by, so that whoever runs the tests does not decide; a CI's terminal has no colours. */
  const COLOURED = {
    TERM: "xterm-256color",
    CI: undefined,
    NO_COLOR: undefined,
    NODE_DISABLE_COLORS: undefined,
    FORCE_COLOR: undefined,
  };
  let terminal: CommandProcess;
  afterEach(() => terminal.child.kill("SIGKILL"));

  /** Types, and waits for what has to come. */
  async function type(text: string, awaited: string): Promise<void> {
    const before = terminal.stdout.length;
    terminal.child.stdin.write(text);
    await expect.poll(() => terminal.stdout.slice(before), { timeout: 10_000 }).toContain(awaited);
  }

  test("completes, colours, keeps a history, and ends what runs on ctrl-C", async () => {
    const history = join(folder, "state", "history");
    const env = { LIVESCOPE_HISTORY: history, ...COLOURED };
    terminal = commands.startProgram("python3", ["-c", PROGRAM, process.execPath, MAIN, "repl"], { env });
    await terminal.says("> ");
    await type("let counter = { up() { return 42 } }\r", "undefined");
    await type("coun", "coun");
    await type("\t", "ter");
    await type(".u", ".u");
    await type("\t", "p");
    await type("()\r", "\u001b[33m42\u001b[39m");
    await type("'\\x1b]0;title\\x07'; console.log('\\x1b]0;title\\x07')\r", "\\x1b]0;title\\x07");
    await type("console.log('run' + 'ning'); for (;;);\r", "running");
    await type("\u0003", "ended");
    await type("half of", "half of");
    await type("\u0003", "> ");
    await type(`${UP}${UP}${UP}\r`, "\u001b[33m42\u001b[39m");
    await type(".exit\r", "");
    expect(await terminal.ended).toMatchObject({ code: 0 });
    expect(terminal.stdout).not.toContain("\u001b]0;");
    expect(readFileSync(history, "utf8").split("\n").slice(0, 2)).toEqual([
      "let counter = { up() { return 42 } }",
      "counter.up()",
    ]);
    expect(statSync(history).mode & 0o777).toBe(0o600);
    expect(await sessions()).toEqual([]);
  });

  test("leaves on ctrl-C pressed twice, and keeps no history where none is wanted", async () => {
    terminal = commands.startProgram("python3", ["-c", PROGRAM, process.execPath, MAIN, "repl"], {
      env: { LIVESCOPE_HISTORY: "", HOME: folder, XDG_STATE_HOME: "", NO_COLOR: "1" },
    });
    await terminal.says("> ");
    await type("6 * 7\r", "42\r\n");
    await type("\u0003", "ctrl-C again");
    await type("\u0003", "");
    expect(await terminal.ended).toMatchObject({ code: 130 });
    expect(terminal.stdout).not.toContain("\u001b[33m");
    expect(existsSync(join(folder, ".livescope_history"))).toBe(false);
  });
});
