/** Values and names that are not what they should be. */
import {
  CallRequest,
  CreateSessionRequest,
  ExceptionPhase,
  ExecuteRequest,
  SandboxServiceService as Sandbox,
  SessionServiceService as SessionRpcs,
  type Value,
} from "@livescope/proto";
import { expect } from "vitest";
import { type Answer, frame } from "../raw-http2.js";
import { doubleField, field, numberField } from "../wire.js";
import { type BadRequest, dataOf, executionOf, type World } from "./world.js";

// Fields of sandbox.v1.Value and of google.protobuf.Value.
const data = (...parts: readonly Uint8Array[]): Buffer => field(1, ...parts);
const json = (text: string): Buffer => field(2, Buffer.from(text));
const number = (bits: bigint): Buffer => doubleField(2, bits);
const ONE = 0x3ff0000000000000n;
const TWO = 0x4000000000000000n;

export const VALUE_CASES: Readonly<Record<string, BadRequest>> = {
  "value/non-utf8-code": (world) => executeWith(world, field(2, Buffer.from([0xff, 0xfe, 0x41]))),

  "value/value-oneof-unset": async (world) => {
    const answer = await callWith(world, "kinds", Buffer.alloc(0));
    expect(dataOf(executionOf(answer))).toEqual(["undefined"]);
    return answer;
  },

  "value/value-two-kinds": async (world) => {
    const otherOrder = await callWith(world, "echo", Buffer.concat([json("1"), data(number(TWO))]));
    expect(dataOf(executionOf(otherOrder))).toBe(2);
    const answer = await callWith(world, "echo", Buffer.concat([data(number(TWO)), json("1")]));
    expect(dataOf(executionOf(answer))).toBe(1);
    return answer;
  },

  "value/enum-unspecified": async (world) => {
    const unspecified = [4, 5, 10].map((fieldNumber) => numberField(fieldNumber, 0));
    const answer = await executeWith(world, field(2, Buffer.from("[1]")), ...unspecified);
    expect(dataOf(executionOf(answer))).toEqual([1]);
    return answer;
  },

  "value/map-key-dup": async (world) => {
    const entry = (bits: bigint): Buffer => field(1, field(1, Buffer.from("a")), field(2, number(bits)));
    const answer = await callWith(world, "echo", data(field(5, entry(ONE), entry(TWO))));
    expect(dataOf(executionOf(answer))).toEqual({ a: 2 });
    const binding = (text: string): Buffer => field(6, field(1, Buffer.from("b")), field(2, json(text)));
    const bound = await executeWith(world, field(2, Buffer.from("b")), binding("1"), binding("2"));
    expect(dataOf(executionOf(bound))).toBe(2);
    return answer;
  },

  "value/bigint-not-digits": (world) => callWithGraph(world, '[["BigInt","1e3"]]'),

  "value/date-nan": async (world) => {
    const invalid = await callWith(world, "kinds", field(3, Buffer.from('[["Date",""]]')));
    expect(dataOf(executionOf(invalid))).toEqual(["object"]);
    await world.forgetRun();
    return callWithGraph(world, '[["Date","NaN"]]');
  },

  "value/nan-number": async (world) => {
    for (const bits of [0x7ff0000000000001n, 0xfff0000000000000n]) {
      expect((await callWith(world, "echo", data(number(bits)))).status).toBe("INVALID_ARGUMENT");
    }
    return callWith(world, "echo", data(number(0x7ff8000000000000n)));
  },

  "value/global-name-bad": async (world) => {
    const bad = new Map<string, Value>([["1 bad; name", { kind: { $case: "json", value: "1" } }]]);
    const create = CreateSessionRequest.create({ setup: "1" });
    const created = await world.connection.call(SessionRpcs.createSession, { ...create, globals: bad });
    expect(created.status).toBe("INVALID_ARGUMENT");
    const execute = ExecuteRequest.create({ sessionId: world.here.sessionId, code: "ran++" });
    return world.connection.call(Sandbox.execute, { ...execute, bindings: bad });
  },

  "value/code-nul": async (world) => {
    const answer = await executeWith(world, field(2, Buffer.from("1\0;throw 2")));
    expect(executionOf(answer).outcome).toMatchObject({
      $case: "exception",
      value: { name: "SyntaxError", phase: ExceptionPhase.PARSE },
    });
    return answer;
  },
};

function executeWith(world: World, ...fields: readonly Uint8Array[]): Promise<Answer> {
  const session = Sandbox.execute.requestSerialize(ExecuteRequest.create({ sessionId: world.here.sessionId }));
  return world.connection.send(Sandbox.execute.path, frame(Buffer.concat([session, ...fields])));
}

/** Calls a function of the session with one argument, the body of a sandbox.v1.Value. */
function callWith(world: World, path: string, value: Uint8Array): Promise<Answer> {
  const call = Sandbox.call.requestSerialize(CallRequest.create({ sessionId: world.here.sessionId, path }));
  return world.connection.send(Sandbox.call.path, frame(Buffer.concat([call, field(5, value)])));
}

function callWithGraph(world: World, graph: string): Promise<Answer> {
  return callWith(world, "echo", field(3, Buffer.from(graph)));
}
