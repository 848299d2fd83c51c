/** A server and a client of it for all tests of a file. */
import { Livescope } from "@livescope/sdk";
import { type RunningServer, type StartOptions, startServer } from "@livescope/server";
import { afterAll, beforeAll } from "vitest";

export interface Served {
  readonly server: RunningServer;
  readonly client: Livescope;
}

/** Starts before the first test and ends after the last; its fields may be read from then on. */
export function withServer(options: StartOptions = {}): Served {
  const served = {} as { server: RunningServer; client: Livescope };
  beforeAll(async () => {
    served.server = await startServer(options);
    served.client = await Livescope.connect(served.server.address);
  });
  afterAll(async () => {
    await served.client?.close();
    await served.server?.close();
  });
  return served;
}
