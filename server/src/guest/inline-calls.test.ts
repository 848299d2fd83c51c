/** What the build puts in place of calls means what the calls meant. */
import { expect, test } from "vitest";

const file = new URL("../../inline-calls.mjs", import.meta.url).href;
const { withInlinedCalls } = (await import(file)) as { withInlinedCalls: (code: string) => string };

function resultOf(code: string): unknown {
  return (new Function(code) as () => unknown)();
}

test.each([
  ["a short expression", "function f(a){return a+1}function g(b){return f(b)*f(2)}return g(3)", "f("],
  [
    "a function that is called once",
    "function f(a){if(a>1)return 'big';let b=a;return b}function g(b){return f(b+1)}return[g(0),g(1)]",
    "f(b",
  ],
  ["a statement", "var n=[];function f(a){n.push(a);n.push(a)}function g(a){f(a)}g(1);return n", "f("],
  ["a number", "var n=154;function f(){return n}return f()", "var n=154;function f(){return n"],
])("%s stands where it was called", (_, code, gone) => {
  expect(withInlinedCalls(code)).not.toContain(gone);
  expect(resultOf(withInlinedCalls(code))).toEqual(resultOf(code));
});

test.each([
  [
    "an argument with an effect that would be evaluated twice",
    "var n=0;function f(a){return a+a}function g(){return f(n++)+f(1)}return[g(),n]",
  ],
  [
    "an argument with an effect that might not be evaluated",
    "var n=0;function f(a,b){return a&&b}function g(){return f(0,n++)||f(1,2)}return[g(),n]",
  ],
  [
    "arguments in another order",
    "var n='';function h(x){n+=x;return x}function f(a,b){return b+a}function g(){return f(h('a'),h('b'))+f(1,2)}g();return n",
  ],
  [
    "an argument that the function changes",
    "var n=1;function f(a){return (n=5)+a}function g(){return f(n)+f(0)}return g()",
  ],
  [
    "a name that means two things",
    "function f(a){let b=2;return a+b>3?a:b}function g(b){return f(b)}return[g(1),g(9)]",
  ],
  [
    "a parameter that is assigned to",
    "function f(a){a+=1;n.push(a)}var n=[];function g(a){f(a);n.push(a)}g(1);return n",
  ],
  [
    "what throws",
    "function f(){throw new Error('x')}function g(){try{return f()}catch(e){return e.message}}return g()",
  ],
  ["a function without a value", "function f(a){if(a)return 1}function g(a){return f(a)}return[g(0),g(1)]"],
])("%s keeps its meaning", (_, code) => {
  expect(resultOf(withInlinedCalls(code))).toEqual(resultOf(code));
});

test("a name that hides one of the top is refused", () => {
  expect(() => withInlinedCalls("var a=1;function f(a){return a}return f(2)")).toThrow("a hides");
});
