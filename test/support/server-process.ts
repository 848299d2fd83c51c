/** A server that is a process of its own, so that its end would be noticed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { MAIN } from "./built-command.js";

export interface ProcessOptions {
  /** URL of a module that the process loads first. */
  readonly preload?: string | undefined;
  /** Flags of Node and of V8. */
  readonly nodeFlags?: readonly string[];
  /** Of the process, beside that of this one. */
  readonly env?: NodeJS.ProcessEnv;
  /** Path of the program; the server as it was built, unless a test has another. */
  readonly main?: string | undefined;
  /** The largest file that the process may write, in KiB, until somebody allows it more. */
  readonly fileSize?: number | undefined;
}

const WITNESS = new URL("./server-witness.mjs", import.meta.url).href;

/** What the process says about itself; see server-witness.mjs. */
export interface Testimony {
  /** Worker threads that it ended: by its watchdog, as long as it is not stopped. */
  readonly ended: number;
  /** Worker threads that ended otherwise. */
  readonly died: number;
  /** Names of built-in classes whose prototypes are not what they were when it started. */
  readonly changed: readonly string[];
  /** Memory that it holds. */
  readonly residentBytes: number;
}

export class ServerProcess implements AsyncDisposable {
  /** Host and port. */
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #asked: { resolve: (testimony: Testimony) => void; reject: (error: Error) => void }[] = [];
  #log = "";
  #exit: string | undefined;

  /**
   * Keeps nothing on disk unless a flag says so.
   *
   * @param flags of the command line, beside the address
   * @throws Error when it does not start, with what it wrote
   */
  static async start(flags: readonly string[] = [], options: ProcessOptions = {}): Promise<ServerProcess> {
    const { preload, nodeFlags = [], env = {}, main = MAIN, fileSize } = options;
    const preloads = [WITNESS, ...(preload === undefined ? [] : [preload])].flatMap((url) => ["--import", url]);
    const own = ["--address", "127.0.0.1:0", "--log-level", "error", "--data", "none"];
    const command = [process.execPath, ...nodeFlags, ...preloads, main, ...own, ...flags];
    const bounded = ["bash", "-c", `ulimit -S -f ${fileSize}; exec "$0" "$@"`, ...command];
    const [program = "", ...args] = fileSize === undefined ? command : bounded;
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, ...env },
    });
    let complaint = "";
    child.stderr?.on("data", (chunk) => {
      complaint += chunk;
    });
    const [line] = (await Promise.race([once(child.stdout as NodeJS.ReadableStream, "data"), once(child, "exit")])) as [
      unknown,
    ];
    const address = /listening on (\S+)/.exec(String(line))?.[1];
    if (address === undefined) throw new Error(`the server did not start: ${line} ${complaint}`);
    return new ServerProcess(child, address);
  }

  private constructor(child: ChildProcess, address: string) {
    this.#child = child;
    this.address = address;
    child.stderr?.on("data", (chunk) => {
      this.#log += chunk;
    });
    child.on("exit", (code, signal) => {
      this.#exit = signal ?? `code ${code}`;
      for (const { reject } of this.#asked.splice(0))
        reject(new Error(`the server ended when it was asked: ${this.#exit}`));
    });
    child.on("message", (testimony) => this.#asked.shift()?.resolve(testimony as Testimony));
  }

  /** How it ended; undefined while it lives. */
  get exit(): string | undefined {
    return this.#exit;
  }

  /** What it wrote to standard error: failures of its own. */
  get log(): string {
    return this.#log;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws Error when the process has ended */
  testify(): Promise<Testimony> {
    return new Promise((resolve, reject) => {
      if (this.#exit !== undefined) return reject(new Error(`the server has ended: ${this.#exit}`));
      this.#asked.push({ resolve, reject });
      this.#child.send("testify");
    });
  }

  /** Ends it at once, whatever it does. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#exit !== undefined) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
