import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { descriptorPath } from "./descriptor.js";
import {
  CallRequest,
  ErrorInfo,
  ErrorReason,
  ExecuteRequest,
  GetSessionRequest,
  HealthService,
  InvalidData,
  SandboxServiceService,
  SessionServiceService,
  SnapshotServiceService,
  Value,
} from "./index.js";

describe("the data arm", () => {
  it("holds JSON text on both sides of the wire", () => {
    const args = [Value.create({ kind: { $case: "data", value: '{"__proto__":[1]}' } })];
    const request = CallRequest.decode(CallRequest.encode(CallRequest.create({ args, path: "f" })).finish());
    expect(request.args[0]?.kind).toStrictEqual({ $case: "data", value: '{"__proto__":[1]}' });
    expect(request.path).toBe("f");
  });

  it("holds an InvalidData in place of what cannot be, and the rest of the message is read", () => {
    const nan = [0x11, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f];
    const value = [0x0a, nan.length, ...nan];
    const request = CallRequest.decode(new Uint8Array([0x2a, value.length, ...value, 0x0a, 1, 0x73]));
    expect(request.args[0]?.kind?.value).toBeInstanceOf(InvalidData);
    expect(request.sessionId).toBe("s");
  });
});

describe("messages", () => {
  it("keep map keys as they are and tell absent from empty", () => {
    const bindings = new Map([["__proto__", Value.create()]]);
    const request = ExecuteRequest.decode(ExecuteRequest.encode(ExecuteRequest.create({ bindings })).finish());
    expect([...request.bindings.keys()]).toStrictEqual(["__proto__"]);
    expect(request.sessionId).toBeUndefined();
    const empty = ExecuteRequest.decode(ExecuteRequest.encode(ExecuteRequest.create({ sessionId: "" })).finish());
    expect(empty.sessionId).toBe("");
  });

  it("refuse strings that are no UTF-8, and keep a leading U+FEFF", () => {
    expect(() => GetSessionRequest.decode(new Uint8Array([0x0a, 2, 0xc3, 0x28]))).toThrow(TypeError);
    const text = GetSessionRequest.create({ sessionId: "\ufeffé" });
    expect(GetSessionRequest.decode(GetSessionRequest.encode(text).finish())).toStrictEqual(text);
  });

  it("carry what a status carries", () => {
    const info = ErrorInfo.create({ reason: ErrorReason[ErrorReason.SESSION_LOST], domain: "sandbox.v1" });
    expect(info.reason).toBe("SESSION_LOST");
  });
});

it("the descriptor describes every service, with comments and each file behind its imports", () => {
  const { file } = fromBinary(FileDescriptorSetSchema, readFileSync(descriptorPath));
  const services = file.flatMap((f) => f.service.map((service) => `${f.package}.${service.name}`));
  expect(services.sort()).toStrictEqual([
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "sandbox.v1.SandboxService",
    "sandbox.v1.SessionService",
    "sandbox.v1.SnapshotService",
  ]);
  const seen = new Set<string>();
  for (const f of file) {
    for (const dependency of f.dependency) expect(seen).toContain(dependency);
    seen.add(f.name);
    if (f.package === "sandbox.v1") expect(f.sourceCodeInfo?.location.some((l) => l.leadingComments !== "")).toBe(true);
  }
  const definitions = [SandboxServiceService, SessionServiceService, SnapshotServiceService, HealthService];
  expect(definitions.map((definition) => Object.keys(definition).length)).toStrictEqual([9, 8, 6, 3]);
});
