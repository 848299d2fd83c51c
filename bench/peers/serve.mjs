/**
 * One of the ways in which people run other people's code today, in a process of its own. The argument says which:
 *
 * - `isolated-vm`, `node-vm`, `quickjs-wasi`: the same small service on each, behind a grpc-js server as livescope is.
 * - `process`: a grpc-js server that starts a process for each piece of code.
 * - `capnweb`: Cap'n Web over WebSocket; it isolates nothing, and calls a function of the server itself.
 * - `inspect`: `node --inspect`, by the protocol of its debugger.
 * - `deno`: a worker of Deno without permissions, over WebSocket.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { createContext, Script } from "node:vm";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { PEER } from "./service.mjs";

const ISOLATE_MEBIBYTES = 64;

const ROLES = {
  "isolated-vm": isolatedVm,
  "node-vm": nodeVm,
  "quickjs-wasi": quickjsWasi,
  process: processEach,
  capnweb,
  inspect,
  deno,
};

const role = ROLES[process.argv[2]];
if (role === undefined || process.send === undefined) throw new Error("this process is started by peers.mjs");
process.on("disconnect", () => process.exit(0));
try {
  const where = await role();
  process.send(typeof where === "string" ? { address: where } : where);
} catch (error) {
  process.send({ missing: error.message.split("\n")[0] });
}

/** An isolate with a live function; `once` has a new isolate for each piece of code. */
async function isolatedVm() {
  const { default: ivm } = await import("isolated-vm");
  const isolate = new ivm.Isolate({ memoryLimit: ISOLATE_MEBIBYTES });
  const context = await isolate.createContext();
  let live;
  return serve({
    define: async (code) => {
      live = await context.eval(code, { reference: true });
      return null;
    },
    call: (argument) => live.apply(undefined, [argument], { result: { copy: true } }),
    execute: (code) => context.eval(code, { copy: true }),
    once: async (code) => {
      const own = new ivm.Isolate({ memoryLimit: ISOLATE_MEBIBYTES });
      try {
        return await (await own.createContext()).eval(code, { copy: true });
      } finally {
        own.dispose();
      }
    },
  });
}

/** A context of this very process: it isolates nothing from code that wants out. */
async function nodeVm() {
  const context = createContext({});
  let live;
  const run = (code, where) => new Script(code).runInContext(where);
  return serve({
    define: (code) => {
      live = run(code, context);
      return null;
    },
    call: (argument) => live(argument),
    execute: (code) => run(code, context),
    once: (code) => run(code, createContext({})),
  });
}

/** QuickJS in WebAssembly as a library, on the thread of the server: code that loops stops everybody. */
async function quickjsWasi() {
  const { QuickJS } = await import("quickjs-wasi");
  const bytes = await readFile(new URL(import.meta.resolve("quickjs-wasi/quickjs.wasm")));
  const wasm = await WebAssembly.compile(bytes);
  const machine = await QuickJS.create({ wasm });
  let live;
  const run = (vm, code) => {
    const result = vm.evalCode(code);
    try {
      return vm.dump(result);
    } finally {
      result.dispose();
    }
  };
  return serve({
    define: (code) => {
      live = machine.evalCode(code);
      return null;
    },
    call: (argument) => {
      const given = machine.newNumber(argument);
      const result = machine.callFunction(live, machine.undefined, given);
      const value = machine.dump(result);
      given.dispose();
      result.dispose();
      return value;
    },
    execute: (code) => run(machine, code),
    once: async (code) => {
      const own = await QuickJS.create({ wasm });
      try {
        return run(own, code);
      } finally {
        own.dispose();
      }
    },
  });
}

/** Nothing lives between two calls. */
function processEach() {
  const never = () => {
    throw new Error("nothing lives in a process of its own");
  };
  return serve({
    define: never,
    call: never,
    execute: never,
    once: async (code) => {
      const child = spawn(process.execPath, ["-p", code], { stdio: ["ignore", "pipe", "ignore"] });
      const [text] = await Promise.all([once(child.stdout, "data"), once(child, "exit")]);
      return Number(String(text));
    },
  });
}

async function capnweb() {
  const [{ newWebSocketRpcSession, RpcTarget }, { WebSocket, WebSocketServer }] = await Promise.all([
    import("capnweb"),
    import("ws"),
  ]);
  globalThis.WebSocket ??= WebSocket;
  let count = 0;
  class Counter extends RpcTarget {
    inc(by) {
      count += by;
      return count;
    }
  }
  const http = createServer();
  new WebSocketServer({ server: http }).on("connection", (socket) => newWebSocketRpcSession(socket, new Counter()));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return `ws://127.0.0.1:${http.address().port}`;
}

async function inspect() {
  const child = spawn(process.execPath, ["--inspect=127.0.0.1:0", "-e", "setInterval(() => {}, 1e6)"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  process.on("exit", () => child.kill());
  const [text] = await once(child.stderr, "data");
  return { address: /ws:\/\/\S+/.exec(String(text))[0], pid: child.pid };
}

async function deno() {
  const program = createRequire(import.meta.url).resolve("deno/bin.cjs");
  const [server, worker] = ["deno-server.mjs", "deno-worker.mjs"].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const args = [
    "run",
    "--quiet",
    "--no-prompt",
    "--unstable-worker-options",
    "--allow-net=127.0.0.1",
    `--allow-read=${worker}`,
    server,
  ];
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "ignore"] });
  const [text] = await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => Promise.reject(new Error("deno does not start"))),
  ]);
  const [address, pid] = String(text).trim().split(" ");
  // What was spawned may be a program that runs it.
  process.on("exit", () => process.kill(Number(pid)));
  return { address, pid: Number(pid) };
}

async function serve(methods) {
  const server = new Server();
  const handle = (method) => async (call, callback) => {
    try {
      // grpc-js takes null for no answer.
      callback(null, (await method(call.request)) ?? 0);
    } catch (error) {
      callback(error);
    }
  };
  server.addService(PEER, Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, handle(method)])));
  const port = await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return `127.0.0.1:${port}`;
}
