/** A server in a process of its own: what keeps it busy does not keep the test from looking at the clock. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../server/dist/main.js", import.meta.url));

export class ServerProcess {
  readonly #child: ChildProcess;
  /** Where it listens. */
  readonly address: string;

  private constructor(child: ChildProcess, address: string) {
    this.#child = child;
    this.address = address;
  }

  /** @throws Error if it does not say that it is ready */
  static async start(...flags: string[]): Promise<ServerProcess> {
    const args = [MAIN, "--address", "127.0.0.1:0", "--log-level", "silent", ...flags];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    const address = /listening on (\S+)\n/.exec(chunk.toString())?.[1];
    if (address !== undefined) return new ServerProcess(child, address);
    child.kill("SIGKILL");
    throw new Error(`unexpected first output: ${chunk}`);
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
