import { EventEmitter } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Server, UntypedServiceImplementation } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { Health } from "./health.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

test("nothing is kept of who has watched a service that there is not", () => {
  const added: UntypedServiceImplementation[] = [];
  const server: Pick<Server, "addService"> = { addService: (_, implementation) => void added.push(implementation) };
  new Health([""]).addTo(server as Server);
  const watch = added[0]?.watch as unknown as (stream: unknown) => void;
  const watchOnce = (name: string): void => {
    const stream = Object.assign(new EventEmitter(), { request: { service: name }, write: () => true });
    watch(stream);
    stream.emit("cancelled");
  };
  watchOnce("a");
  const before = heapBytes();
  const names = { count: 64, bytes: 1 << 20 };
  for (let i = 0; i < names.count; i++) watchOnce(Buffer.alloc(names.bytes, `${i} `).toString());
  expect(heapBytes() - before).toBeLessThan((names.count * names.bytes) / 4);
});
