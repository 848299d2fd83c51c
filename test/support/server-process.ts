/** Servers in processes of their own, as people start them. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../server/dist/main.js", import.meta.url));

export class ServerProcess implements AsyncDisposable {
  /** Host and port that it listens on. */
  readonly address: string;
  readonly #child: ChildProcessWithoutNullStreams;

  /** Keeps nothing on disk unless a flag says so. @param env of the process, beside that of this one */
  static async start(flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<ServerProcess> {
    const args = [
      MAIN,
      "--log-level",
      "silent",
      "--address",
      "127.0.0.1:0",
      "--workers",
      "1",
      "--data",
      "none",
      ...flags,
    ];
    const child = spawn(process.execPath, args, { env: { ...process.env, ...env } });
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    const [, address] = /^livescope listening on (\S+)\n$/.exec(chunk.toString()) ?? [];
    if (address === undefined) throw new Error(`unexpected first output: ${chunk}`);
    return new ServerProcess(child, address);
  }

  private constructor(child: ChildProcessWithoutNullStreams, address: string) {
    this.#child = child;
    this.address = address;
  }

  /** Resolves when the process is gone; it gets no chance to put anything in order. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
