/** A server and a client of it for all tests of a file. */
import { type ConnectOptions, Livescope } from "@livescope/sdk";
import { type RunningServer, type StartOptions, startServer } from "@livescope/server";
import { afterAll, beforeAll } from "vitest";

export interface Served {
  readonly server: RunningServer;
  readonly client: Livescope;
}

/** Which way executions travel in this run: files that promise the same for both are run for each, see vitest.config.ts. */
export const TRANSPORT: ConnectOptions["transport"] = process.env.TEST_TRANSPORT === "unary" ? "unary" : "connect";

/** Connects as the run says. */
export function connect(address: string): Promise<Livescope> {
  return Livescope.connect(address, { transport: TRANSPORT });
}

/** Starts before the first test and ends after the last; its fields may be read from then on. */
export function withServer(options: StartOptions = {}): Served {
  const served = {} as { server: RunningServer; client: Livescope };
  beforeAll(async () => {
    served.server = await startServer(options);
    served.client = await connect(served.server.address);
  });
  afterAll(async () => {
    await served.client?.close();
    await served.server?.close();
  });
  return served;
}
