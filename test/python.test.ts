/** Another language's client needs nothing of ours but the contract. */
import { fileURLToPath } from "node:url";
import { startServer } from "@livescope/server";
import { expect, test } from "vitest";
import { run } from "./support/run.js";

const MAIN_JOB = fileURLToPath(new URL("./scripts/main_job.py", import.meta.url));
const SCENARIOS = ["S1", "S3", "S5", "S8", "S11", "S15"];

const hasGrpc = (await run("python3", ["-c", "import grpc, grpc_tools.protoc"])).exitCode === 0;

test.skipIf(!hasGrpc)("Python's grpcio does the main job (skipped without grpcio and grpcio-tools)", async () => {
  const server = await startServer();
  try {
    const { exitCode, stdout, stderr } = await run("python3", [MAIN_JOB, server.address]);
    expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
    const done = new Set(stdout.split("\n").map((line) => /^ok {4}(S\d+) /.exec(line)?.[1]));
    expect(SCENARIOS.filter((scenario) => !done.has(scenario))).toEqual([]);
  } finally {
    await server.close();
  }
});
