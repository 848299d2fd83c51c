import { parse } from "acorn";
import MagicString from "magic-string";
import { describe, expect, test, vi } from "vitest";
import { maySuspend, rewriteForLocals, usesScopeName } from "./locals-transform.js";

function rewritten(code: string, topLevel: "sync" | "async" = "async"): string {
  const text = new MagicString(code);
  const program = parse(code, { ecmaVersion: "latest", sourceType: "script", allowAwaitOutsideFunction: true });
  rewriteForLocals(program, text, topLevel);
  return text.toString();
}

/** Without the marks, and with a shorter name. */
function readable(code: string): string {
  return code.replace(/\/\*\$livescope\$\d+(?:-.*?)?\*\//gs, "").replaceAll("$livescope$", "$");
}

describe("what suspends says in which context it goes on", () => {
  test.each([
    ["await e", "$.s($.c(),await  $.r(e))"],
    ["await (a, b)", "$.s($.c(),await ( $.r((a, b))))"],
    ["await[x]", "$.s($.c(),await $.r([x]))"],
    ["await await e", "$.s($.c(),await  $.r($.s($.c(),await  $.r(e))))"],
    ["await 1", "$.s($.c(),await 1)"],
    ["async () => e", "async () =>  $.r(e)"],
    ["async () => ({})", "async () => ( $.r({}))"],
    ["async () => { return a, b }", "async () => { return  $.r((a, b)) }"],
    ["async function f() { return }", "async function f() { return }"],
    ["() => { return e }", "() => { return e }"],
    ["function* g() { yield e }", "function* g() { yield e }"],
    ["async function* g() { yield e }", "async function* g() { let $c=$.c();$.k($c=$.y($.c(),yield  $.r(e))) }"],
    [
      "async function* g() { yield* e }",
      "async function* g() { let $c=$.c();$.k($c=$.y($c= $.l().delegated(e),yield*$c)) }",
    ],
    [
      "async function* g() { 'use strict'; yield }",
      "async function* g() { 'use strict'; let $c=$.c();$.k($c=$.y($.c(),yield)) }",
    ],
    [
      "async () => { try { await e } catch { f() } finally { g() } }",
      "async () => { {const $c=$.c();try { $.s($.c(),await  $.r(e)) } catch {const $x=$.s($c); f() } finally {const $x=$.s($c); g() }} }",
    ],
    ["async () => { try { f() } catch { g() } }", "async () => { try { f() } catch { g() } }"],
    [
      "async () => { try { async () => await 1 } catch {} }",
      "async () => { try { async () =>  $.r($.s($.c(),await 1)) } catch {} }",
    ],
    [
      "async () => { for (const x of e) await x }",
      "async () => { for (const x of e) {const $c=$.c();try{$.s($.c(),await  $.r(x))}finally{const $x=$.s($c);}} }",
    ],
  ])("%s", (code, expected) => {
    expect(readable(rewritten(code)).replace(/ +/g, " ")).toBe(expected.replace(/ +/g, " "));
  });

  test("a loop that awaits begins its body in its context, and a pattern is bound there", () => {
    const named = readable(rewritten("l: for await (const x of e) f(x)"));
    expect(named).toContain(
      "try{l: for await (const x of $i= $.l().beginLoop(e)) {const $x=$.l().beginBody($c,$i);f(x)}}catch($v)",
    );
    const pattern = readable(rewritten("for await (const { a = f() } of e) g(a)"));
    expect(pattern).toContain(
      "for await (const $v of $i= $.l().beginLoop(e)){const { a = f() }=$.l().beginBody($c,$i,$v); g(a)}",
    );
    const member = readable(rewritten("for await (x.y of e) {}"));
    expect(member).toContain(
      "for await (const $v of $i= $.l().beginLoop(e)){const $x=($.l().beginBody($c,$i,$v),x.y=$v); {}}",
    );
  });

  test("and code at top level only where it may", () => {
    expect(readable(rewritten("try { f(async () => 1) } catch {}", "sync"))).toBe("try { f(async () => 1) } catch {}");
  });

  test("what was rewritten parses", () => {
    const code =
      "async () => { a: b: for await (let [x = await 1, ...y] of (p, q)) { for (z of y) try { continue b } finally { await z } } }";
    expect(() => parse(rewritten(code), { ecmaVersion: "latest" })).not.toThrow();
  });
});

test("statements that suspend are noted once, however many awaits and statements are in them", () => {
  const code = `async () => { ${"try { ".repeat(100)}${"await 1; ".repeat(1_000)}${"} finally {}".repeat(100)} }`;
  const program = parse(code, { ecmaVersion: "latest" });
  const add = vi.spyOn(Set.prototype, "add");
  rewriteForLocals(program, new MagicString(code), "sync");
  const { length } = add.mock.calls;
  add.mockRestore();
  expect(length).toBeLessThan(10_000);
});

test("sources without the words are not looked at", () => {
  expect(["await x", "async () => 1"].every(maySuspend)).toBe(true);
  expect(["awaiting(asynchronous)", "x.then(f)"].some(maySuspend)).toBe(false);
});

test.each([
  ["$livescope$", true],
  ["'$livescope$c'", true],
  ["\\u0024livescope$", true],
  ["$livesc\\u{00006f}pe\\u{24}", true],
  ["$livescope", false],
  ["'\\u{110000}'", false],
])("the kernel's name is found however it is written: %s", (code, found) => {
  expect(usesScopeName(code)).toBe(found);
});
