import { Duplex } from "node:stream";
import { setImmediate as nextTick } from "node:timers/promises";
import type { handleBidiStreamingCall, Server, UntypedServiceImplementation } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { addReflection } from "./reflection.js";

type Handler = handleBidiStreamingCall<unknown, unknown>;

function handlers(): Handler[] {
  const added: UntypedServiceImplementation[] = [];
  const server: Pick<Server, "addService"> = { addService: (_, implementation) => void added.push(implementation) };
  addReflection(server as Server);
  return added.map((implementation) => implementation.ServerReflectionInfo as Handler);
}

test("a client that takes no answers is read no further", async () => {
  for (const handler of handlers()) {
    const asked = 1_000;
    const untaken: (() => void)[] = [];
    let answers = 0;
    const stream = new Duplex({
      objectMode: true,
      read: () => undefined,
      write: (_answer, _encoding, taken) => {
        answers++;
        untaken.push(taken);
      },
    });
    handler(stream as never);
    const ended = new Promise((resolve) => stream.once("finish", resolve));
    for (let i = 0; i < asked; i++) stream.push({ messageRequest: "listServices", listServices: "*" });
    stream.push(null);
    await nextTick();
    expect(stream.writableLength).toBe(stream.writableHighWaterMark);
    while (untaken.length > 0) {
      untaken.shift()?.();
      await nextTick();
    }
    await ended;
    expect(answers).toBe(asked);
  }
});
