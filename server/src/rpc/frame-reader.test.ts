import { ConnectRequest } from "@livescope/proto";
import { expect, test } from "vitest";
import { FrameReader } from "./frame-reader.js";

const request: ConnectRequest = {
  frames: [
    { frameId: 1n, frame: { $case: "credit", value: 7 } },
    { frameId: 2n, frame: undefined },
    { frameId: 3n, frame: { $case: "releaseHostFunctionId", value: "f" } },
  ],
};

const readAll = (message: Uint8Array): unknown[] => {
  const reader = new FrameReader(message);
  const read: unknown[] = [];
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) read.push(frame);
  return [...read, reader.isAtEnd];
};

test("gives the frames that the generated code decodes", () => {
  const encoded = ConnectRequest.encode(request).finish();
  expect(readAll(encoded)).toEqual([...ConnectRequest.decode(encoded).frames, true]);
  expect(readAll(new Uint8Array())).toEqual([true]);
});

test("leaves out what a later version of the contract has beside them", () => {
  const field = { number: Buffer.from([0x10, 0x2a]), text: Buffer.from([0x1a, 2, 104, 105]) };
  const encoded = Buffer.concat([field.text, ConnectRequest.encode(request).finish(), field.number]);
  expect(readAll(encoded)).toEqual([...request.frames, true]);
});

test.each([
  ["a length beyond its end", [0x0a, 5, 8, 1]],
  ["half a number", [0x0a, 2, 8]],
  ["no field", [0x00]],
  ["a field that ends beyond it", [0x1a, 9, 1]],
  ["no message", [0x0a, 1, 0xff]],
])("throws at %s, after what stands before it", (_, bytes) => {
  const reader = new FrameReader(Buffer.concat([ConnectRequest.encode(request).finish(), Buffer.from(bytes)]));
  expect([reader.next(), reader.next(), reader.next()]).toEqual(request.frames);
  expect(() => reader.next()).toThrow();
});
