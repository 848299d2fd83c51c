import { expect, test } from "vitest";
import { inputValue } from "./values.js";

test("few bytes of a large message do not keep the message", () => {
  const message = Buffer.from(new Uint8Array(1_000).fill(7).buffer);
  const few = inputValue({ kind: { $case: "bytes", value: message.subarray(10, 20) } }, "value");
  expect(few.kind === "bytes" && few.bytes.buffer.byteLength).toBe(10);
  expect(few).toEqual({ kind: "bytes", bytes: new Uint8Array(10).fill(7) });
  const most = message.subarray(10, 900);
  const whole = inputValue({ kind: { $case: "bytes", value: most } }, "value");
  expect(whole.kind === "bytes" && whole.bytes).toBe(most);
});
