/** The client's side: promises over the generated grpc-js clients. Everything it throws is a failed benchmark. */
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import {
  CallRequest,
  CreateSessionRequest,
  DeleteSessionRequest,
  Encoding,
  ExecuteRequest,
  ForkSessionRequest,
  Limits,
  SandboxServiceClient,
  SessionServiceClient,
} from "@livescope/proto";
import { Livescope } from "@livescope/sdk";
import { ConnectLane } from "./connect-client.mjs";
import { ECHO, SHIP } from "./services.mjs";

const MEBIBYTE = 1024 * 1024;
const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** Calls one unary method of a client. */
function invoke(client, method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

const EMPTY = Buffer.alloc(0);

/** Values in the form of the contract: JSON text, and bytes. */
export const json = (text) => ({ kind: { $case: "json", value: text } });
export const bytes = (buffer) => ({ kind: { $case: "bytes", value: buffer } });

/** Clients of a process that plays the role `livescope`. */
export class LivescopeClient {
  #sandbox;
  #sessions;
  #echo;
  #lane;
  #sdk;
  #address;
  #echoLanes = new Map();

  constructor({ livescope, echo }) {
    this.#address = livescope;
    this.#sandbox = new SandboxServiceClient(livescope, credentials.createInsecure());
    this.#sessions = new SessionServiceClient(livescope, credentials.createInsecure());
    this.#echo = new (makeGenericClientConstructor(ECHO, "Echo"))(echo, credentials.createInsecure());
  }

  /**
   * @param {"echoA" | "echoB"} method
   * @returns the bytes that came back
   */
  echo(method, payload = EMPTY) {
    return invoke(this.#echo, method, payload);
  }

  /**
   * Sends an empty message on a stream, one for all messages of a method, and waits for one to come back.
   *
   * @param {"stream" | "thread"} method
   */
  echoOnStream(method) {
    let lane = this.#echoLanes.get(method);
    if (lane === undefined) {
      lane = { stream: this.#echo[method](), pending: [] };
      lane.stream.on("data", () => lane.pending.shift()());
      lane.stream.on("error", () => undefined);
      this.#echoLanes.set(method, lane);
    }
    lane.stream.write(EMPTY);
    return new Promise((resolve) => lane.pending.push(resolve));
  }

  /** @returns the id of a new session */
  async create(memoryMebibytes = 0) {
    const limits =
      memoryMebibytes === 0 ? undefined : Limits.create({ memoryBytes: BigInt(memoryMebibytes * MEBIBYTE) });
    const { session } = await invoke(this.#sessions, "createSession", CreateSessionRequest.create({ limits }));
    return session.sessionId;
  }

  /** @returns the ids of copies of a session */
  async fork(sessionId, count) {
    const { sessions } = await invoke(this.#sessions, "forkSession", ForkSessionRequest.create({ sessionId, count }));
    return sessions.map((copy) => copy.sessionId);
  }

  async delete(sessionId) {
    await invoke(this.#sessions, "deleteSession", DeleteSessionRequest.create({ sessionId }));
  }

  /** @returns the heap of a session in bytes */
  async heapBytes(sessionId) {
    return Number((await invoke(this.#sessions, "getSession", { sessionId })).session.memoryBytes);
  }

  /**
   * @param {{ sessionId?: string, bindings?: Record<string, string>, encoding?: number, memoryMebibytes?: number }} options
   *   bindings as JSON text
   * @returns the value as the contract gives it
   */
  async execute(code, { sessionId, bindings = {}, encoding = Encoding.FULL, memoryMebibytes = 0 } = {}) {
    const limits =
      memoryMebibytes === 0 ? undefined : Limits.create({ memoryBytes: BigInt(memoryMebibytes * MEBIBYTE) });
    const request = ExecuteRequest.create({
      sessionId,
      code,
      bindings: new Map(Object.entries(bindings).map(([name, text]) => [name, json(text)])),
      encoding,
      limits,
    });
    return resultOf(await invoke(this.#sandbox, "execute", request));
  }

  /** Defines a function and @returns its handle. `source` ends with the function's name. */
  async handle(sessionId, source) {
    return (await this.execute(source, { sessionId })).handle.handleId;
  }

  /** Calls a function by handle with one number. @returns the number it gave */
  async call(sessionId, handleId, argument) {
    return Number((await this.callWith(sessionId, handleId, json(String(argument)))).json);
  }

  /** Calls a function by handle with one value in the form of the contract. @returns what it gave, by the name of its arm */
  async callWith(sessionId, handleId, value) {
    const request = CallRequest.create({ sessionId, handleId, args: [value], encoding: Encoding.FULL });
    return resultOf(await invoke(this.#sandbox, "call", request));
  }

  /** Like `call`, over one Connect stream. */
  async callOverConnect(sessionId, handleId, argument) {
    this.#lane ??= new ConnectLane(this.#sandbox);
    return Number(resultOf(await this.#lane.call(sessionId, handleId, argument)).json);
  }

  /** A client of the SDK, over Connect. */
  async sdk() {
    this.#sdk ??= Livescope.connect(this.#address);
    return this.#sdk;
  }

  async close() {
    this.#lane?.close();
    for (const { stream } of this.#echoLanes.values()) stream.cancel();
    (await this.#sdk)?.close();
    for (const client of [this.#sandbox, this.#sessions, this.#echo]) client.close();
  }
}

function resultOf({ execution }) {
  const { outcome } = execution;
  if (outcome?.$case !== "value") throw new Error(`an execution ended with ${JSON.stringify(outcome)}`);
  const { kind } = outcome.value;
  return kind === undefined ? {} : { [kind.$case]: kind.value };
}

/** Client of a process that plays the role `node-vm`. */
export class ShipClient {
  #client;

  constructor({ ship }) {
    this.#client = new (makeGenericClientConstructor(SHIP, "Ship"))(ship, credentials.createInsecure(), UNLIMITED);
  }

  /** @returns the changed scope */
  ship(text) {
    return invoke(this.#client, "ship", text);
  }

  close() {
    this.#client.close();
  }
}
