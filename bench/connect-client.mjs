/** Calls over one Connect stream, as thin as the unary clients: those of one tick travel in one message. */
import { CallRequest, Encoding } from "@livescope/proto";

export class ConnectLane {
  #stream;
  #pending = new Map();
  #frames = [];
  #nextId = 1n;

  /** @param client a SandboxServiceClient */
  constructor(client) {
    this.#stream = client.connect();
    this.#stream.on("data", ({ frames }) => {
      for (const { frameId, frame } of frames) this.#hear(frameId, frame);
    });
    this.#stream.on("error", () => undefined);
  }

  /** Calls a function by handle with one number as JSON text. @returns the outcome */
  call(sessionId, handleId, argument) {
    const args = [{ kind: { $case: "json", value: String(argument) } }];
    const value = CallRequest.create({ sessionId, handleId, args, encoding: Encoding.FULL });
    const command = { command: { $case: "call", value }, consoleAtEnd: true, dropEmitted: true };
    const frameId = this.#nextId++;
    if (this.#frames.push({ frameId, frame: { $case: "command", value: command } }) === 1) {
      queueMicrotask(() => process.nextTick(() => this.#flush()));
    }
    return new Promise((resolve, reject) => this.#pending.set(frameId, { resolve, reject }));
  }

  close() {
    this.#stream.cancel();
  }

  #flush() {
    this.#stream.write({ frames: this.#frames });
    this.#frames = [];
  }

  #hear(frameId, frame) {
    const pending = this.#pending.get(frameId);
    this.#pending.delete(frameId);
    if (frame.$case === "event") pending.resolve({ execution: frame.value.event.value });
    else pending.reject(new Error(`a call over Connect was answered ${JSON.stringify(frame)}`));
  }
}
