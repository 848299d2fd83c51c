/** All of the service is within reach of a shell: the server describes itself, and JSON goes in and out. */
import { fileURLToPath } from "node:url";
import { HealthService, SandboxServiceService, SessionServiceService, SnapshotServiceService } from "@livescope/proto";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { run } from "./support/run.js";
import { BUF, SCRIPT_PATH } from "./support/script-path.js";

const PLAINTEXT = ["--protocol", "grpc", "--http2-prior-knowledge"];
const MAIN_JOB = fileURLToPath(new URL("./scripts/main-job.sh", import.meta.url));
/** Those that go together, and then others, which call the same methods. */
const SCENARIOS = ["S3", "S4", "S7", "S8", "S15", ...(isLong ? ["S1", "S2", "S5", "S6", "S11"] : ["S11"])];
/** Each step of the script is a process or two. */
const SCRIPT_TIMEOUT = 120_000;

const REFLECTION = ["v1", "v1alpha"].map(
  (version) => `grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);
const OURS = [SandboxServiceService, SessionServiceService, SnapshotServiceService].flatMap(methodsOf);

/** A grpcurl on PATH, or the one that GRPCURL names, if there is any. */
const GRPCURL = process.env.GRPCURL ?? "grpcurl";
const hasGrpcurl = (await run(GRPCURL, ["--version"])).exitCode === 0;

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(() => server.close());

test("a shell script does the main job", { timeout: SCRIPT_TIMEOUT }, async () => {
  const { exitCode, stdout, stderr } = await run(MAIN_JOB, [server.address, ...SCENARIOS], { PATH: SCRIPT_PATH });
  expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
  const done = new Set(stdout.split("\n").map((line) => /^ok {4}(S\d+) /.exec(line)?.[1]));
  expect(SCENARIOS.filter((scenario) => !done.has(scenario))).toEqual([]);
});

test("the script fails where nobody answers", async () => {
  const gone = await startServer({ workers: 1 });
  await gone.close();
  expect((await run(MAIN_JOB, [gone.address], { PATH: SCRIPT_PATH })).exitCode).not.toBe(0);
});

describe("buf curl", () => {
  test("lists every method there is", async () => {
    const { stdout } = await run(BUF, ["curl", ...PLAINTEXT, "--list-methods", `http://${server.address}`]);
    expect(stdout.trim().split("\n").sort()).toEqual([...OURS, ...methodsOf(HealthService), ...REFLECTION].sort());
  });

  test("calls every method by JSON", { timeout: SCRIPT_TIMEOUT }, async () => {
    const session = JSON.parse(await bufCurl("sandbox.v1.SessionService/CreateSession", { setup: "let x = 1" })) as {
      session: { sessionId: string };
    };
    const { sessionId } = session.session;
    const { snapshot } = JSON.parse(await bufCurl("sandbox.v1.SnapshotService/CreateSnapshot", { sessionId })) as {
      snapshot: { snapshotId: string };
    };
    const { snapshotId } = snapshot;
    // One message carries it.
    const exported = JSON.parse(await bufCurl("sandbox.v1.SnapshotService/ExportSnapshot", { snapshotId })) as object;
    const requests: Record<string, object> = {
      "sandbox.v1.SandboxService/Execute": { sessionId, code: "x" },
      "sandbox.v1.SandboxService/Call": { sessionId, path: "Math.max", args: [{ data: 1 }] },
      "sandbox.v1.SandboxService/Render": { sessionId, source: "{{ x }}" },
      "sandbox.v1.SandboxService/Run": { command: { execute: { sessionId, code: "x" } } },
      "sandbox.v1.SandboxService/Connect": { frames: [{ frameId: 1, command: { execute: { sessionId, code: "x" } } }] },
      "sandbox.v1.SandboxService/CancelExecution": { sessionId, executionId: "unknown" },
      "sandbox.v1.SandboxService/Inspect": { sessionId, path: "Math" },
      "sandbox.v1.SandboxService/ReleaseHandles": { sessionId, all: true },
      "sandbox.v1.SandboxService/GetServerInfo": {},
      "sandbox.v1.SessionService/CreateSession": { sessionId: "for-a-moment" },
      "sandbox.v1.SessionService/GetSession": { sessionId },
      "sandbox.v1.SessionService/ListSessions": {},
      "sandbox.v1.SessionService/DeleteSession": { sessionId: "unknown", allowMissing: true },
      "sandbox.v1.SessionService/UpdateSession": { session: { sessionId, labels: { a: "b" } }, updateMask: "labels" },
      "sandbox.v1.SessionService/ForkSession": { sessionId, count: 2 },
      "sandbox.v1.SessionService/RollbackSession": { sessionId, snapshotId },
      "sandbox.v1.SnapshotService/CreateSnapshot": { sessionId, ttl: "60s" },
      "sandbox.v1.SnapshotService/GetSnapshot": { snapshotId },
      "sandbox.v1.SnapshotService/ListSnapshots": {},
      "sandbox.v1.SnapshotService/DeleteSnapshot": { snapshotId: "unknown", allowMissing: true },
      "sandbox.v1.SnapshotService/ExportSnapshot": { snapshotId },
      "sandbox.v1.SnapshotService/ImportSnapshot": exported,
      "grpc.health.v1.Health/Check": { service: "sandbox.v1.SandboxService" },
    };
    const answered = Object.entries(requests).map(async ([method, request]) => {
      expect(JSON.parse(await bufCurl(method, request)), method).toBeTypeOf("object");
    });
    const endless = "sandbox.v1.SessionService/WatchSession";
    expect(OURS.filter((method) => !(method in requests))).toEqual([endless]);
    await Promise.all(answered);
  });
});

describe("buf curl and values", () => {
  test.each([
    ["data", { data: { a: [1, null] } }, "ENCODING_UNSPECIFIED", { data: { a: [1, null] } }],
    ["json", { json: '{"a":[1,null]}' }, "ENCODING_FULL", { json: '{"a":[1,null]}' }],
    [
      "graph",
      { graph: '[{"when":1},["Date","2026-11-26T00:00:00.000Z"]]' },
      "ENCODING_FULL",
      { graph: '[{"when":1},["Date","2026-11-26T00:00:00.000Z"]]' },
    ],
    ["bytes", { bytes: "AAH/" }, "ENCODING_FULL", { bytes: "AAH/" }],
    ["none set", {}, "ENCODING_FULL", {}],
  ])("carries %s both ways", { timeout: SCRIPT_TIMEOUT }, async (_arm, value, encoding, expected) => {
    const session = JSON.parse(
      await bufCurl("sandbox.v1.SessionService/CreateSession", { setup: "function same(value) { return value }" }),
    ) as {
      session: { sessionId: string };
    };
    const request = { sessionId: session.session.sessionId, path: "same", args: [value], encoding };
    const { execution } = JSON.parse(await bufCurl("sandbox.v1.SandboxService/Call", request)) as {
      execution: { value: object };
    };
    expect(execution.value).toEqual(expected);
  });
});

describe.skipIf(!hasGrpcurl)("grpcurl, where it is installed (or GRPCURL names it),", () => {
  const grpcurl = (...args: string[]) => run(GRPCURL, ["-plaintext", ...args]);

  test("lists every service and method", async () => {
    const services = (await grpcurl(server.address, "list")).stdout.trim().split("\n");
    expect(services).toEqual(expect.arrayContaining(["grpc.health.v1.Health", "sandbox.v1.SandboxService"]));
    const ours = services.filter((name) => name.startsWith("sandbox."));
    const listed = await Promise.all(ours.map(async (name) => (await grpcurl(server.address, "list", name)).stdout));
    const methods = listed.flatMap((text) => text.trim().split("\n"));
    expect(methods.sort()).toEqual(OURS.map((name) => name.replace("/", ".")).sort());
  });

  test("describes messages with their fields, maps and enums", async () => {
    for (const [name, line] of [
      [
        "sandbox.v1.SandboxService",
        "rpc Execute ( .sandbox.v1.ExecuteRequest ) returns ( .sandbox.v1.ExecuteResponse );",
      ],
      ["sandbox.v1.ExecuteRequest", "optional string session_id = 1;"],
      ["sandbox.v1.ExecuteRequest", "map<string, .sandbox.v1.Value> bindings = 6;"],
      ["sandbox.v1.Value", ".google.protobuf.Value data = 1;"],
      ["sandbox.v1.Encoding", "ENCODING_JSON = 2;"],
    ] as const) {
      expect((await grpcurl(server.address, "describe", name)).stdout).toContain(line);
    }
  });

  test("calls by JSON", async () => {
    const request = JSON.stringify({ code: "[a, 1 + 1]", bindings: { a: { data: { b: null } } } });
    const { stdout } = await grpcurl("-d", request, server.address, "sandbox.v1.SandboxService/Execute");
    expect(JSON.parse(stdout)).toMatchObject({ execution: { value: { data: [{ b: null }, 2] } } });
  });

  test("shows the details of a refusal", async () => {
    const request = JSON.stringify({ sessionId: "unknown", code: "1" });
    const { exitCode, stderr } = await grpcurl("-d", request, server.address, "sandbox.v1.SandboxService/Execute");
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("NotFound");
    expect(stderr).toContain("SESSION_NOT_FOUND");
  });
});

async function bufCurl(method: string, request: object): Promise<string> {
  const url = `http://${server.address}/${method}`;
  const { exitCode, stdout, stderr } = await run(BUF, ["curl", ...PLAINTEXT, "--data", JSON.stringify(request), url]);
  expect(exitCode, `${method}: ${stderr}`).toBe(0);
  return stdout;
}

function methodsOf(service: Readonly<Record<string, { readonly path: string }>>): string[] {
  return Object.values(service).map(({ path }) => path.slice(1));
}
