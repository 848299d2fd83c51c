import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Session } from "@livescope/sdk";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CommandLine, documents } from "../support/command.js";
import { withServer } from "../support/server.js";
import { CERTIFICATE, tlsEnd } from "../support/tls-end.js";

const served = withServer();
const commands = new CommandLine(() => served.server.address);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "livescope-run-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe("livescope run", () => {
  test("runs a file, and writes its console where node would", async () => {
    const path = file("hello.js", "console.log('hi', { a: 1 }); console.error('oops'); 42");
    const ended = await commands.run(["run", path]);
    expect(ended).toEqual({ code: 0, stdout: "hi { a: 1 }\n", stderr: "oops\n" });
    expect(await served.client.listSessions().next()).toMatchObject({ done: true });
  });

  test.each([
    ["a string as it is", "'a' + 'b'", "ab\n"],
    ["an object as code", "({ a: new Map([[1, () => 1]]) })", "{ a: Map(1) { 1 => [Function (anonymous)] } }\n"],
    ["what a promise gives", "Promise.resolve(6 * 7)", "42\n"],
    ["undefined", "undefined", "undefined\n"],
  ])("prints %s when it is asked to", async (_, code, printed) => {
    expect(await commands.output("run", "--print", "--eval", code)).toBe(printed);
  });

  test("says that it only describes a value that is too large", async () => {
    const warning = "warning: the value is larger than one may be: what is printed only describes it\n";
    for (const code of ["'x'.repeat(4e6)", "({ a: 'x'.repeat(4e6) })"]) {
      const { code: exitCode, stdout, stderr } = await commands.run(["run", "-p", "-e", code]);
      expect({ exitCode, stderr }, code).toEqual({ exitCode: 0, stderr: warning });
      expect(stdout).toContain("xxx…");
    }
    for (const code of ["() => 1", "new Proxy({}, {})"]) {
      expect(await commands.run(["run", "-p", "-e", code]), code).toMatchObject({ code: 0, stderr: "" });
    }
  });

  test("takes TypeScript and modules by their names, and by flags", async () => {
    const typed = "\uFEFFconst n: number = 5; console.log(n)";
    const module = "export const n = 5; console.log(n, import.meta.url)";
    const [ts, mjs, mts] = await Promise.all([
      commands.output("run", file("a.ts", typed)),
      commands.output("run", file("b.mjs", module)),
      commands.output("run", file("c.mts", module.replace("n =", "n: number ="))),
    ]);
    expect([ts, mjs, mts]).toEqual(["5\n", `5 ${folder}/b.mjs\n`, `5 ${folder}/c.mts\n`]);
    const fromStdin = await commands.run(["run", "--module", "--typescript", "-"], { input: `export {};${typed}` });
    expect(fromStdin).toEqual({ code: 0, stdout: "5\n", stderr: "" });
  });

  test("gives the code its arguments, flags among them", async () => {
    const path = file("args.mjs", "console.log(locals.args)");
    expect(await commands.output("run", path, "--", "a", "--print", "b c")).toBe("[ 'a', '--print', 'b c' ]\n");
    expect(await commands.output("run", "-p", "-e", "locals.args", "--", "x")).toBe("[ 'x' ]\n");
  });

  test("shows what the code threw as node does, and ends with 1", async () => {
    const path = file("bad.js", "function bad() {\n\tthrow new TypeError('no', { cause: 'why' })\n}\nbad()");
    const { code, stdout, stderr } = await commands.run(["run", path]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    const [place, line, mark, , message, ...frames] = stderr.trimEnd().split("\n");
    expect([place, line, message]).toEqual([
      `${path}:2`,
      "\tthrow new TypeError('no', { cause: 'why' })",
      "Uncaught TypeError: no",
    ]);
    expect(mark).toMatch(/^\t *\^$/);
    expect(frames.map((frame) => frame.trim())).toEqual([
      expect.stringMatching(/^at bad \(.*bad\.js:2:\d+\)$/),
      expect.stringMatching(/^at .*bad\.js:4:\d+$/),
      "[cause]: 'why'",
    ]);
  });

  test("says how to run a module that was not taken for one", async () => {
    const { code, stderr } = await commands.run(["run", "-e", "import 'a'"]);
    expect(code).toBe(1);
    expect(stderr).toContain("livescope: run it with --module");
  });

  test("says what to do about a module that imports what the session has not", async () => {
    const { code, stderr } = await commands.run(["run", "--module", "-e", "import 'a'"]);
    expect(code).toBe(1);
    expect(stderr).toContain('livescope: "livescope bundle" makes one module of it');
  });

  test("tells of rejections that nobody handles", async () => {
    const { code, stderr } = await commands.run(["run", "-e", "Promise.reject(new Error('lost')); 1"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^warning: .*lost.*eval\.js:1/) });
  });

  test("ends with 4 when the code is stopped", async () => {
    const { code, stderr } = await commands.run(["run", "--timeout", "100ms", "-e", "for (;;);"]);
    expect({ code, stderr }).toEqual({
      code: 4,
      stderr: expect.stringMatching(/^livescope: stopped \(TIMEOUT\): .+\n$/),
    });
  });

  test("prints one document with --json, whatever became of the execution", async () => {
    const [ok] = await commands.json("run", "-e", "console.log('hi'); ({ a: [1] })");
    expect(ok).toMatchObject({
      outcome: "value",
      value: { a: [1] },
      preview: "{ a: [ 1 ] }",
      console: [{ level: "log", text: "hi" }],
      usage: { turns: 1 },
      undone: false,
    });
    const [unlike] = await commands.json("run", "-e", "[1n]");
    expect(unlike).toMatchObject({ outcome: "value", preview: "[ 1n ]" });
    expect(unlike).not.toHaveProperty("value");
    const threw = await commands.run(["run", "--json", "-e", "throw new RangeError('x', { cause: 5 })"]);
    expect(threw).toMatchObject({ code: 1, stderr: "" });
    expect(documents(threw.stdout)).toMatchObject([
      {
        outcome: "exception",
        exception: {
          name: "RangeError",
          message: "x",
          phase: "EVALUATE",
          frames: [{ filename: "eval.js", line: 1 }],
          cause: { name: "", thrown: { value: 5 } },
        },
      },
    ]);
    const stopped = await commands.run(["run", "--json", "--timeout", "50ms", "-e", "for (;;);"]);
    expect(stopped.code).toBe(4);
    expect(documents(stopped.stdout)).toMatchObject([
      { outcome: "stopped", stopped: { reason: "TIMEOUT" }, undone: true },
    ]);
  });

  test("ends quietly when nobody reads on", async () => {
    const command = commands.start(["run", "-e", "for (;;) console.log('x'.repeat(1_000))"]);
    command.child.stdin.end();
    await once(command.child.stdout, "data");
    command.child.stdout.destroy();
    expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("livescope run in a session", () => {
  let session: Session;
  beforeEach(async () => {
    session = await served.client.createSession({ setup: "let n = 1" });
  });
  afterEach(() => session[Symbol.asyncDispose]());

  test("leaves what it defines, and nothing else", async () => {
    expect(
      await commands.output("run", "--session", session.id, "-p", "-e", "n = 41; const inc = () => ++n; inc"),
    ).toBe("[Function: inc]\n");
    expect(await session.call("inc")).toBe(42);
    expect(await session.execute("'args' in locals")).toBe(false);
    // What is held is this test's own.
    expect((await session.info()).handleCount).toBe(0);
  });

  test("writes the console while the code runs, and ends it on ctrl-C", async () => {
    const events: string[] = [];
    const watching = (async () => {
      for await (const event of session.watch()) {
        if (event.kind === "failed") events.push(event.error.message);
      }
    })().catch(() => undefined);
    const code = "n = 5; console.log('running'); for (;;);";
    const command = commands.start(["run", "--session", session.id, "-e", code]);
    await command.says("running\n");
    command.child.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 130, stdout: "running\n", stderr: "" });
    expect(await session.execute("n")).toBe(1);
    await expect.poll(() => events).toHaveLength(1);
    await session.delete();
    await watching;
  });
});

// What is wrong with its flags is tested beside them, server/src/cli/program.test.ts.
describe("what is wrong with a command", () => {
  test.each([
    ["a file that is not there", ["run", "gone.js"], 2, "gone.js: no such file or directory"],
    [
      "a server that is not there",
      ["run", "--address", "127.0.0.1:1", "-e", "1"],
      3,
      'start one with "livescope serve"',
    ],
    [
      "a session that is not there",
      ["run", "-s", "gone", "-e", "1"],
      3,
      'there is no session gone; "livescope sessions"',
    ],
  ])("is one line on standard error: %s", async (_, args, code, sentence) => {
    const ended = await commands.run(args);
    expect(ended).toMatchObject({ code, stdout: "" });
    expect(ended.stderr).toMatch(/^livescope: [^\n]+\n$/);
    expect(ended.stderr).toContain(sentence);
  });

  test.each(["standard input", "a file"])(
    "is one line on standard error: more than can be sent, from %s",
    async (from) => {
      const input = " ".repeat((4 << 20) + 1);
      const path = from === "a file" ? file("large.js", input) : "-";
      const { code, stderr } = await commands.run(["run", path], { input });
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringMatching(/^livescope: (standard input|\S+large\.js) has more than 4 MiB[^\n]*\n$/),
      });
    },
  );

  test("is told without a cause where a proxy hides it", async () => {
    const args = ["run", "--address", "192.0.2.1:1", "-e", "1"];
    const { code, stderr } = await commands.run(args, { env: { http_proxy: "http://127.0.0.1:1" } });
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /^livescope: no livescope server answers at 192\.0\.2\.1:1: No connection established; start one with [^\n]+\n$/,
    );
  });

  test("names what is missing where nobody here vouches for the server's certificate", async () => {
    await using end = await tlsEnd(served.server.address);
    const args = ["run", "--print", "--address", end.address, "--eval", "6 * 7"];
    const { code, stderr } = await commands.run(args);
    expect(code).toBe(3);
    expect(stderr).toMatch(/certificate; .*GRPC_DEFAULT_SSL_ROOTS_FILE_PATH/);

    const env = { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: file("authority.pem", CERTIFICATE) };
    expect(await commands.run(args, { env })).toMatchObject({ code: 0, stdout: "42\n" });
  });

  test("is no reason to print anything on standard output with --json", async () => {
    expect(await commands.run(["run", "--json", "-s", "gone", "-e", "1"])).toMatchObject({ code: 3, stdout: "" });
  });
});
