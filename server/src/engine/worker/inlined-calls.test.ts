import binaryen from "binaryen";
import { expect, test } from "vitest";
import { withInlinedCalls } from "./inlined-calls.js";

/** A function that is called twice, and adds 1 so many times. */
function codeCalling(steps: number): Uint8Array {
  const body = `${"(i32.add (i32.const 1) ".repeat(steps)}(local.get 0)${")".repeat(steps)}`;
  const module = binaryen.parseText(`(module
    (func $called (param i32) (result i32) ${body})
    (func (export "main") (param i32) (result i32) (call $called (call $called (local.get 0)))))`);
  return module.emitBinary();
}

const textOf = (code: Uint8Array): string => binaryen.readBinary(code).emitText();

function run(code: Uint8Array, argument: number): number {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(code)), {});
  return (exports.main as (argument: number) => number)(argument);
}

test("a small function takes the place of its calls", () => {
  const code = codeCalling(3);
  expect(textOf(code)).toContain("(call ");
  const inlined = withInlinedCalls(code);
  expect(textOf(inlined)).not.toContain("(call ");
  expect([run(code, 5), run(inlined, 5)]).toEqual([11, 11]);
});

test("a large one is called as before", () => {
  const inlined = withInlinedCalls(codeCalling(50));
  expect(textOf(inlined)).toContain("(call ");
  expect(run(inlined, 5)).toBe(105);
});

test("the code is the same each time", () => {
  const code = codeCalling(3);
  expect(withInlinedCalls(code)).toEqual(withInlinedCalls(code));
});
