/**
 * What is measured, each in a process of its own so that it shares no event loop with the client. The argument says which:
 *
 * - `livescope`: a livescope server, and beside it in the same process a plain grpc-js server with echoes.
 * - `resting`: the same, whose sessions leave memory soon for the store in the directory that is named next.
 * - `durable`: as `livescope`, with the store in the directory that is named next.
 * - `node-vm`: the way people do it today: a grpc-js server that takes a whole scope with every call.
 */
import { createContext, Script } from "node:vm";
import { Worker } from "node:worker_threads";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { startServer } from "@livescope/server";
import { SHIPPED_INDEX, TOUCH_SOURCE } from "./scope.mjs";
import { ECHO, SHIP } from "./services.mjs";

const LARGEST_SCOPE = 64 * 1024 * 1024;

const ROLES = {
  livescope: () => serveLivescope(),
  resting: () => serveLivescope({ data: process.argv[3], maximumSessions: 500, hibernateAfter: 2 }),
  durable: () => serveLivescope({ data: process.argv[3] }),
  "node-vm": serveNodeVm,
};

const role = ROLES[process.argv[2]];
if (role === undefined || process.send === undefined) throw new Error("this process is started by processes.mjs");
process.on("disconnect", () => process.exit(0));
process.on("message", () => process.send?.({ rss: residentBytes() }));
process.send({ addresses: await role() });

/** Resident memory after garbage collection, in bytes. The process runs with --expose-gc. */
function residentBytes() {
  for (let i = 0; i < 3; i++) globalThis.gc();
  return process.memoryUsage.rss();
}

async function serveLivescope(options) {
  const { address } = await startServer(options);
  const echo = (call, callback) => callback(null, call.request);
  const stream = (call) => call.on("data", (message) => call.write(message));
  return {
    livescope: address,
    echo: await serve(ECHO, { echoA: echo, echoB: echo, stream, thread: echoByThread() }, {}),
  };
}

/** Echoes the messages of one stream by way of a thread, as every call of a session goes through one: the least that costs. */
function echoByThread() {
  const thread = new Worker(
    "const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m));",
    { eval: true },
  );
  return (call) => {
    thread.removeAllListeners("message");
    thread.on("message", () => call.write(Buffer.alloc(0)));
    call.on("data", () => thread.postMessage("x"));
  };
}

/** A fresh realm for every call: parse the scope in it, run the function, give the changed scope back. */
async function serveNodeVm() {
  const script = new Script(
    `const scope = JSON.parse(text); ${TOUCH_SOURCE}; touch(${SHIPPED_INDEX}); JSON.stringify(scope)`,
  );
  const ship = (call, callback) => callback(null, script.runInContext(createContext({ text: call.request })));
  const options = {
    "grpc.max_receive_message_length": LARGEST_SCOPE,
    "grpc.max_send_message_length": LARGEST_SCOPE,
  };
  return { ship: await serve(SHIP, { ship }, options) };
}

async function serve(definition, implementation, options) {
  const server = new Server(options);
  server.addService(definition, implementation);
  const port = await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return `127.0.0.1:${port}`;
}
