/** A server with a data directory that outlives it, at an address that stays. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ProcessOptions, ServerProcess } from "./server-process.js";

const FAILPOINT = new URL("./failpoint.mjs", import.meta.url).href;

/** Where the process ends by itself; see failpoint.mjs. */
export interface Failpoint {
  readonly at: "run" | "commit" | "lost" | "kept" | "rebase" | "rebased" | "late";
  /** The how manieth of its kind since the start. */
  readonly count: number;
}

export class DurableServer implements AsyncDisposable {
  /** Host and port, the same after every start. */
  readonly address: string;
  readonly directory = mkdtempSync(join(tmpdir(), "livescope-durable-"));
  #process: ServerProcess | undefined;

  static async make(): Promise<DurableServer> {
    return new DurableServer(`127.0.0.1:${await freePort()}`);
  }

  private constructor(address: string) {
    this.address = address;
  }

  get process(): ServerProcess {
    if (this.#process === undefined) throw new Error("the server was not started");
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.hasEnded;
  }

  /** Whether it has ended, by itself or not. */
  get hasEnded(): boolean {
    return this.#process?.exit !== undefined;
  }

  async start(failpoint?: Failpoint, options: ProcessOptions = {}): Promise<ServerProcess> {
    const flags = ["--address", this.address, "--data", this.directory];
    const env = failpoint === undefined ? {} : { TEST_FAILPOINT: JSON.stringify(failpoint) };
    const preload = failpoint === undefined ? undefined : FAILPOINT;
    this.#process = await ServerProcess.start(flags, { preload, env, ...options });
    return this.#process;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One that nobody listens on; somebody may, until the server does. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
