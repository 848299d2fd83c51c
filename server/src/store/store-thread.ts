/** The thread of the database as the main thread sees it. */
import { Worker } from "node:worker_threads";
import type { Answer, CallName, Calls, ThreadMessage, ThreadRequest, ThreadSetup } from "./calls.js";
import { StoreError } from "./store.js";

/** Always the built file: Node runs no TypeScript in a worker. */
const ENTRY = new URL("../../dist/store/thread.js", import.meta.url);

interface Waiting {
  readonly resolve: (value: Calls[CallName]["answers"]) => void;
  readonly reject: (error: StoreError) => void;
}

export class StoreThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #nextNumber = 0;
  #failure: StoreError | undefined;
  #closing = false;

  /**
   * Starts the thread, which opens and locks the database of the directory.
   *
   * @throws StoreError; then the thread has ended
   */
  static async start(setup: ThreadSetup): Promise<StoreThread> {
    const worker = new Worker(ENTRY, { workerData: setup, env: {}, argv: [], execArgv: [] });
    const thread = new StoreThread(worker);
    await thread.#opened();
    worker.unref();
    return thread;
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("error", (error) => this.#fail(`the thread of the store failed (${error.message})`));
    this.#ended = new Promise((resolve) => {
      worker.once("exit", () => {
        this.#fail("the thread of the store has ended");
        resolve();
      });
    });
  }

  #opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#worker.on("message", (message: ThreadMessage) => {
        if (message.type === "open") resolve();
        else if (message.type === "answer") this.#settle(message.number, message.answer);
        else this.#failure = new StoreError(message.failure.failed, message.failure.message);
      });
      // Not before: until then it may hold the lock.
      void this.#ended.then(() => reject(this.#failure));
    });
  }

  /**
   * @param image in a buffer of its own, which is transferred
   * @throws StoreError
   */
  call<N extends CallName>(
    name: N,
    asks: Calls[N]["asks"],
    image?: Uint8Array<ArrayBuffer>,
  ): Promise<Calls[N]["answers"]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const number = this.#nextNumber++;
    // The process goes on as long as somebody waits.
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      const call = { name, ...asks } as Extract<ThreadRequest, { number: number }>["call"];
      this.#post({ number, call }, image);
    });
  }

  /** Ends the thread when it has done all it was asked; the database is closed and unlocked then. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#worker.ref();
    this.#post({ close: true });
    await this.#ended;
  }

  #post(request: ThreadRequest, image?: Uint8Array<ArrayBuffer>): void {
    this.#worker.postMessage(request, image === undefined ? [] : [image.buffer]);
  }

  #settle(number: number, answer: Answer): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (this.#waiting.size === 0 && !this.#closing) this.#worker.unref();
    if ("value" in answer) waiting?.resolve(answer.value);
    else waiting?.reject(new StoreError(answer.failed, answer.message));
  }

  #fail(reason: string): void {
    this.#failure ??= new StoreError("broken", `${reason}; what it acknowledged is kept: restart the server`);
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
