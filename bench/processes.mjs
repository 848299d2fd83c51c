/** Starts and ends the processes of a run: what is measured, and the spinners that keep the cores awake. */
import { fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const ENTRY = fileURLToPath(new URL("server-process.mjs", import.meta.url));

export class ServerProcess {
  #child;
  /** Where its services listen, by name. */
  addresses;

  constructor(child, addresses) {
    this.#child = child;
    this.addresses = addresses;
  }

  /**
   * @param {"livescope" | "resting" | "durable" | "node-vm"} role
   * @param {readonly string[]} [execArgv] more flags for node
   * @param {readonly string[]} [argv] what the role asks for
   */
  static async start(role, execArgv = [], argv = []) {
    const child = fork(ENTRY, [role, ...argv], { execArgv: ["--expose-gc", ...execArgv] });
    const [message] = await Promise.race([
      once(child, "message"),
      once(child, "exit").then(([code]) => Promise.reject(new Error(`the ${role} process ended with ${code}`))),
    ]);
    return new ServerProcess(child, message.addresses);
  }

  get pid() {
    return this.#child.pid;
  }

  /** Resident memory after garbage collection, in bytes. */
  async residentBytes() {
    this.#child.send("rss");
    const [{ rss }] = await once(this.#child, "message");
    return rss;
  }

  /** Ends the process; a profile that it was asked for is written by then. */
  async stop() {
    const ended = once(this.#child, "exit");
    this.#child.disconnect();
    await ended;
  }
}

/** Gives way to everything else, and ends by itself when the run is over. */
const SPIN = "const parent = process.ppid; while (process.ppid === parent);";

/**
 * Idle cores fall asleep between two calls and take some 35 microseconds to wake, which would be measured. One spinner of
 * the lowest scheduling class per core keeps them awake.
 *
 * @returns ends them; undefined where the machine has no `chrt`
 */
export function startSpinners() {
  if (spawnSync("chrt", ["-i", "0", "true"]).status !== 0) return undefined;
  const spinners = Array.from({ length: availableParallelism() }, () =>
    spawn("chrt", ["-i", "0", process.execPath, "-e", SPIN], { stdio: "ignore" }),
  );
  return () => {
    for (const spinner of spinners) spinner.kill("SIGKILL");
  };
}
