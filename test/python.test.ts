/** Another language's client needs nothing of ours but the contract and its description. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CallRequest, Encoding, SandboxServiceService as Sandbox } from "@livescope/proto";
import type { Session } from "@livescope/sdk";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RawConnection } from "./support/raw-http2.js";
import { run } from "./support/run.js";
import { withServer } from "./support/server.js";

const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MAIN_JOB = script("./scripts/main_job.py");
const GRAPH = script("../examples/graph.py");
const CLIENT = script("../examples/client.py");
const SCENARIOS = ["S1", "S3", "S5", "S8", "S11", "S15"];

const hasPython = (await run("python3", ["-c", "import sys; assert sys.version_info >= (3, 9)"])).exitCode === 0;
const hasGrpc = (await run("python3", ["-c", "import grpc, grpc_tools.protoc"])).exitCode === 0;
const served = withServer();

describe.skipIf(!hasGrpc)("Python's grpcio (skipped without grpcio and grpcio-tools)", () => {
  test("does the main job", async () => {
    const { exitCode, stdout, stderr } = await run("python3", [MAIN_JOB, served.server.address]);
    expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
    const done = new Set(stdout.split("\n").map((line) => /^ok {4}(S\d+) /.exec(line)?.[1]));
    expect(SCENARIOS.filter((scenario) => !done.has(scenario))).toEqual([]);
  });

  test("sends and receives values of all kinds", async () => {
    const { exitCode, stdout, stderr } = await run("python3", [CLIENT, served.server.address]);
    expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
  });
});

describe.skipIf(!hasPython)("graphs in Python (skipped without Python)", () => {
  let python: ChildProcessWithoutNullStreams;
  let lines: AsyncIterator<string>;
  let session: Session;
  let connection: RawConnection;

  beforeAll(() => {
    python = spawn("python3", [GRAPH, "--echo"]);
    lines = createInterface(python.stdout)[Symbol.asyncIterator]();
    connection = new RawConnection(served.server.address);
  });
  afterAll(() => {
    python?.stdin.end();
    connection?.[Symbol.dispose]();
  });
  beforeEach(async () => {
    session = await served.client.createSession();
  });
  afterEach(() => session[Symbol.asyncDispose]());

  test("are read and written as they are described", async () => {
    const { exitCode, stderr } = await run("python3", [GRAPH]);
    expect(exitCode, stderr).toBe(0);
  });

  /** Whatever the order in which Python wrote the nodes, the session writes equal values equally. */
  test.each([
    "[undefined, null, NaN, -0, Infinity, 2n ** 100n, 'a\\0\\ud800\\u{1f600}', 0.1, true]",
    "[new Date(0), new Date(NaN), new Date(8.64e15), new Date(-62198755200000), new Date(1e12 + 7)]",
    "const o = { s: {} }; o.self = o; o.again = [o.s, o.s, [o]]; o",
    "new Map([[{ k: 1 }, new Set([1n, undefined])], [NaN, [, 1, , ]]])",
    "Object.assign([], { 4000: 1 })",
    "'abc'.match(/(?<b>b)/)",
    "[/a\\/b/gi, Object('x'), Object(1n), Object.assign(Object.create(null), { a: -0 })]",
    "const b = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer; [b, new Uint8Array(b, 1, 3), new Float64Array(b), new DataView(b, 2)]",
    "new AggregateError([new TypeError('t', { cause: 1n }), 5], 'all')",
    "Object.assign(new RangeError('r'), { name: 'Odd', code: [7n] })",
    "[JSON.parse('{\"__proto__\":{\"a\":1}}'), () => 1, Symbol('s')]",
  ])("are given back by Python as they were: %s", async (code) => {
    await session.execute(`var value = (0, eval)(${JSON.stringify(code)}); function give() { return value }`);
    await session.execute("function identity(value) { return value }");
    const text = await graphOf("give", []);
    python.stdin.write(`${text}\n`);
    const { value: echoed } = await lines.next();
    const again = await graphOf("identity", [{ kind: { $case: "graph", value: String(echoed) } }]);
    expect(again).toBe(text);
  });

  async function graphOf(path: string, args: CallRequest["args"]): Promise<string> {
    const request = { sessionId: session.id, path, args, encoding: Encoding.FULL };
    const { execution } = await connection.ask(Sandbox.call, CallRequest.fromPartial(request));
    const outcome = execution?.outcome;
    if (outcome?.$case !== "value" || outcome.value.kind?.$case !== "graph") {
      throw new Error(`expected a graph, got ${JSON.stringify(outcome)}`);
    }
    return outcome.value.kind.value;
  }
});
