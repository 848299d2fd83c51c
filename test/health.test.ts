/** grpc.health.v1, which load balancers and orchestrators ask. */
import { status as Code, credentials } from "@grpc/grpc-js";
import { HealthCheckResponse, HealthClient, HealthCheckResponse_ServingStatus as Serving } from "@livescope/proto";
import { Livescope } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterEach, beforeEach, expect, test } from "vitest";

let server: RunningServer;
let health: HealthClient;
beforeEach(async () => {
  server = await startServer({ workers: 1 });
  health = new HealthClient(server.address, credentials.createInsecure());
});
afterEach(async () => {
  health.close();
  await server.close();
});

const check = (service: string): Promise<HealthCheckResponse> =>
  new Promise((resolve, reject) => {
    health.check({ service }, (error, response) => (error === null ? resolve(response) : reject(error)));
  });

test.each(["", "sandbox.v1.SandboxService", "sandbox.v1.SessionService", "sandbox.v1.SnapshotService"])(
  "%j is served",
  async (service) => {
    expect(await check(service)).toEqual(HealthCheckResponse.create({ status: Serving.SERVING }));
  },
);

test("a service that there is not is not found", async () => {
  await expect(check("sandbox.v1.Nothing")).rejects.toMatchObject({ code: Code.NOT_FOUND });
});

test("who watches is told when the server stops", async () => {
  const told: Serving[] = [];
  const watching = health.watch({ service: "" });
  const first = new Promise<void>((resolve) => {
    watching.on("data", ({ status }: HealthCheckResponse) => {
      told.push(status);
      resolve();
    });
  });
  const ended = new Promise((resolve) => watching.on("error", resolve));
  await first;
  await server.close();
  await ended;
  expect(told).toEqual([Serving.SERVING, Serving.NOT_SERVING]);
});

test("who asks for the first time while it stops is told that it does", async () => {
  const answers: Promise<unknown>[] = [];
  // It waits for what runs.
  const client = await Livescope.connect(server.address);
  const session = await client.createSession();
  let letGo = (): void => undefined;
  const called = new Promise<void>((resolve) => {
    void session
      .expose({
        wait: () => {
          resolve();
          return new Promise<void>((go) => (letGo = go));
        },
      })
      .then(() => answers.push(session.execute("await wait()")));
  });
  await called;
  const closed = server.close();
  expect(await check("")).toEqual(HealthCheckResponse.create({ status: Serving.NOT_SERVING }));
  letGo();
  await Promise.all(answers);
  client.close();
  await closed;
});
