/** Starts a peer, and calls it. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { PEER } from "./service.mjs";

const ENTRY = fileURLToPath(new URL("serve.mjs", import.meta.url));
const SOURCE = "var count = 0; function inc(by) { count += by; return count; }; inc";

/**
 * @param source whose value is the function that `call` calls; `capnweb` calls one of its own
 * @returns {Promise<{ pid: number, stop(): void, call?: Function, execute?: Function, once?: Function } | { missing: string }>}
 */
export async function startPeer(role, source = SOURCE) {
  const child = fork(ENTRY, [role], { stdio: ["ignore", "inherit", "ignore", "ipc"] });
  const [message] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(() => [{ missing: "it ended" }]),
  ]);
  if (message.missing !== undefined) {
    child.kill();
    return { missing: message.missing };
  }
  const stop = () => child.disconnect();
  const pid = message.pid ?? child.pid;
  const connect = { capnweb, inspect, deno }[role] ?? grpc;
  return { pid, stop, ...(await connect(message.address, role, source)) };
}

async function grpc(address, role, source) {
  const client = new (makeGenericClientConstructor(PEER, "Peer"))(address, credentials.createInsecure());
  const invoke = (method) => (request) =>
    new Promise((resolve, reject) => {
      client[method](request, (error, response) => (error === null ? resolve(response) : reject(error)));
    });
  if (role === "process") return { once: invoke("once") };
  await invoke("define")(source);
  return { call: invoke("call"), execute: invoke("execute"), once: invoke("once") };
}

async function capnweb(address) {
  const [{ newWebSocketRpcSession }, { WebSocket }] = await Promise.all([import("capnweb"), import("ws")]);
  // It asks for the states of a socket by the name that browsers have for it.
  globalThis.WebSocket ??= WebSocket;
  const socket = new WebSocket(address);
  await once(socket, "open");
  const session = newWebSocketRpcSession(socket);
  return { call: (argument) => session.inc(argument) };
}

/** Sends objects, each with an id by which its answer is found. */
async function byWebSocket(address) {
  const { WebSocket } = await import("ws");
  const socket = new WebSocket(address);
  await once(socket, "open");
  const waiting = new Map();
  let next = 0;
  socket.on("message", (text) => {
    const { id, result, error } = JSON.parse(text);
    const settle = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) settle?.resolve(result);
    else settle?.reject(new Error(error.message));
  });
  return (message) =>
    new Promise((resolve, reject) => {
      const id = ++next;
      waiting.set(id, { resolve, reject });
      socket.send(JSON.stringify({ id, ...message }));
    });
}

async function deno(address, _role, source) {
  const send = await byWebSocket(address);
  await send({ method: "define", argument: source });
  return {
    call: (argument) => send({ method: "call", argument }),
    execute: (argument) => send({ method: "execute", argument }),
  };
}

async function inspect(address, _role, source) {
  const socket = await byWebSocket(address);
  const send = (method, params) => socket({ method, params });
  const { result } = await send("Runtime.evaluate", { expression: source });
  const { objectId } = result;
  const run = async (method, params) => (await send(method, { ...params, returnByValue: true })).result.value;
  return {
    call: (argument) =>
      run("Runtime.callFunctionOn", {
        objectId,
        functionDeclaration: "function (by) { return this(by); }",
        arguments: [{ value: argument }],
      }),
    execute: (expression) => run("Runtime.evaluate", { expression }),
  };
}
