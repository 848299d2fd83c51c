/** The examples do what they say. */
import { createContext, runInContext } from "node:vm";
import { GuestError, StoppedError } from "@livescope/sdk";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CodeTool } from "../examples/agent-tool.js";
import { Sandbox, type Scope } from "../examples/call-sandbox.js";
import { Sheet } from "../examples/formula-service.js";
import { RulesEngine } from "../examples/rules-engine.js";
import { solve } from "../examples/solver.js";
import { Mailer, TemplateError } from "../examples/template-mailer.js";
import { isLong } from "./support/is-long.js";
import { run } from "./support/run.js";
import { withServer } from "./support/server.js";

const served = withServer();

/** No example leaves a session behind. */
async function expectNoSession(): Promise<void> {
  expect(await served.client.listSessions().next()).toMatchObject({ done: true });
}

describe("every example", () => {
  const programs: [file: string, line: string][] = [
    ["solver.ts", "2000 changes were tried on the way to the best of 10 rounds"],
    ["call-sandbox.ts", "total: 6"],
    ["rules-engine.ts", "{ rule: 'limit', verdict: 'ok' }"],
    ["template-mailer.ts", "order.html:2: 'itmes' is not defined"],
    ["formula-service.ts", "{ A1: 30, SUM: 50, GROSS: 59.5 }"],
    ["agent-tool.ts", "=> [ 'to', 'be', 'or', 'not' ]"],
  ];
  // Each takes the time of a TypeScript compiler; what they are made of is tested below.
  const chosen = isLong ? programs : programs.slice(1, 2);
  test.each(chosen)("runs by itself: %s", async (file, line) => {
    const { exitCode, stdout, stderr } = await run("node_modules/.bin/tsx", [
      `examples/${file}`,
      served.server.address,
    ]);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toContain(line);
    await expectNoSession();
  });
});

describe("the solver", () => {
  /** Places on a circle, in an order that crosses it again and again: the best round trip is known. */
  const COUNT = 12;
  const PLACES = Array.from({ length: COUNT }, (_, i) => {
    const angle = (2 * Math.PI * ((i * 5) % COUNT)) / COUNT;
    return [Math.cos(angle), Math.sin(angle)] as const;
  });
  const SHORTEST = 2 * COUNT * Math.sin(Math.PI / COUNT);

  test("gets to a better tour by keeping the best of its forks", async () => {
    const { tour, lengths, tries } = await solve(served.client, PLACES, { rounds: 6, candidates: 3, steps: 300 });
    expect([...tour].sort((a, b) => a - b)).toEqual(PLACES.map((_, i) => i));
    for (let round = 1; round < lengths.length; round++) {
      expect(lengths[round]).toBeLessThanOrEqual(lengths[round - 1] as number);
    }
    const length = tour.reduce((sum, city, i) => {
      const [a, b] = [PLACES[city], PLACES[tour[(i + 1) % COUNT] as number]] as const;
      return sum + Math.hypot((a?.[0] ?? 0) - (b?.[0] ?? 0), (a?.[1] ?? 0) - (b?.[1] ?? 0));
    }, 0);
    expect(lengths.at(-1)).toBeCloseTo(length);
    expect(lengths[0]).toBeGreaterThan(3 * SHORTEST);
    expect(length).toBeLessThan(1.5 * SHORTEST);
    // Those of the forks that were kept: each round went on from where the one before ended.
    expect(tries).toBe(6 * 300);
    await expectNoSession();
  });
});

describe("callSandbox", () => {
  let sandbox: Sandbox;
  beforeEach(() => {
    sandbox = new Sandbox(served.client);
  });
  afterEach(async () => {
    await sandbox[Symbol.asyncDispose]();
    await expectNoSession();
  });

  /** What it takes the place of: code sees a copy of the scope, and the scope gets a copy of what came of it. */
  async function callWithCopy(code: string, scope: Scope): Promise<unknown> {
    const copy = createContext({ ...scope });
    try {
      return runInContext(code, copy);
    } finally {
      Object.assign(scope, copy);
    }
  }

  /** A program that was written for exec. It knows nothing of what runs it. */
  async function program(exec: (code: string, scope: Scope) => Promise<unknown>): Promise<unknown[]> {
    const scope: Scope = { x: 1 };
    await exec("function read() { return x } function count() { return ++x }", scope);
    const seen = [await exec("x = 10; read()", scope)];
    await exec("count()", scope);
    return [...seen, scope.x, await (scope.read as () => unknown)()];
  }

  test("keeps functions in their scope, which a copied scope does not", async () => {
    // The functions of a copy go on with the copy that they were made in.
    expect(await program(callWithCopy)).toEqual([1, 10, 2]);
    expect(await program(sandbox.callSandbox)).toEqual([10, 11, 11]);
  });

  test("keeps the scope up to date in both directions, whatever ends the code", async () => {
    const scope: Scope = { list: [1], gone: 1, label: "a" };
    await sandbox.callSandbox("list.push(2); const when = new Date(0); delete globalThis.gone", scope);
    expect(scope).toEqual({ list: [1, 2], label: "a", when: new Date(0) });

    (scope.list as number[]).push(3);
    delete scope.label;
    expect(await sandbox.callSandbox("[list.length, typeof label]", scope)).toEqual([3, "undefined"]);

    await expect(sandbox.callSandbox("list.length = 0; throw new TypeError('no')", scope)).rejects.toThrow(GuestError);
    expect(scope.list).toEqual([]);
  });

  test("leaves alone what the program did not change", async () => {
    const scope: Scope = {};
    await sandbox.callSandbox("var list = []; const kept = list; function add(n) { list.push(n) }", scope);
    await (scope.add as (n: number) => Promise<void>)(5);
    // The scope does not know of 5 yet; the session does.
    expect(scope.list).toEqual([]);
    expect(await sandbox.callSandbox("list === kept && list[0]", scope)).toBe(5);
    expect(scope.list).toEqual([5]);
  });

  test("passes functions in, and out again as the same ones", async () => {
    const told: string[] = [];
    const scope: Scope = { tell: (text: string) => void told.push(text) };
    await sandbox.callSandbox("function twice(n) { return 2 * n }", scope);
    scope.other = scope.twice;
    expect(await sandbox.callSandbox("await tell('hello'); other === twice", scope)).toBe(true);
    expect(told).toEqual(["hello"]);
    expect(scope.other).toBe(scope.twice);
  });

  test("gives each scope a session of its own, and calls of one their turns", async () => {
    const [one, two]: Scope[] = [{ n: 1 }, { n: 10 }];
    const calls = [one, one, one, two].map((scope) => sandbox.callSandbox("n = n + 1", scope as Scope));
    expect(await Promise.all(calls)).toEqual([2, 3, 4, 11]);
    expect([one, two]).toEqual([{ n: 4 }, { n: 11 }]);
  });

  test("prints what guest code prints", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
    try {
      const scope: Scope = { global_a: 123 };
      await sandbox.callSandbox("function func_a() { console.log(global_a) }", scope);
      await sandbox.callSandbox("func_a()", scope);
      expect(log.mock.calls).toEqual([["123"]]);
    } finally {
      log.mockRestore();
    }
  });
});

describe("the rules engine", () => {
  let engine: RulesEngine;
  beforeEach(() => {
    engine = new RulesEngine(served.client, { timeout: 1_500, loadTimeout: 1_500 });
  });
  afterEach(async () => {
    await engine[Symbol.asyncDispose]();
    await expectNoSession();
  });

  test("gets verdicts from good rules, whatever bad ones do", async () => {
    await engine.load("counts", "let n = 0; const decide = ({ add }) => n += add");
    await engine.load("throws", "function decide(request) {\n  throw new RangeError('no ' + request.add)\n}");
    await engine.load("hangs", "function decide() { for (;;); }");
    await engine.load("eats", "const all = []; function decide() { for (;;) all.push(new Array(1e5).fill(0)) }");
    const first = await engine.decide({ add: 2 });
    expect(first).toEqual([
      { rule: "counts", verdict: 2 },
      { rule: "throws", problem: "RangeError: no 2 (throws.js:2:23)" },
      { rule: "hangs", problem: expect.stringContaining("time limit") },
      { rule: "eats", problem: expect.any(String) },
    ]);
    expect((await engine.decide({ add: 3 }))[0]).toEqual({ rule: "counts", verdict: 5 });
  });

  test("refuses a rule that is no good, and keeps the one there is", async () => {
    await engine.load("a", "const decide = () => 1");
    await expect(engine.load("a", "const decide = () => {")).rejects.toThrow(GuestError);
    await expect(engine.load("a", "throw new Error('no')")).rejects.toThrow("no");
    await expect(engine.load("a", "const other = 1")).rejects.toThrow("decide(request)");
    await expect(engine.load("a", "for (;;);")).rejects.toThrow(StoppedError);
    expect(await engine.decide({})).toEqual([{ rule: "a", verdict: 1 }]);
  });

  test("replaces a rule while it is asked: each request is decided by one or the other", async () => {
    await engine.load(
      "a",
      "const decide = async (n) => { await new Promise((ok) => setTimeout(ok, 20)); return ['old', n] }",
    );
    const asked = [1, 2, 3].map((n) => engine.decide(n));
    await engine.load("a", "const decide = (n) => ['new', n]");
    expect((await Promise.all(asked)).flat()).toEqual([1, 2, 3].map((n) => ({ rule: "a", verdict: ["old", n] })));
    expect(await engine.decide(4)).toEqual([{ rule: "a", verdict: ["new", 4] }]);
  });
});

describe("the mailer", () => {
  const ann = { address: "ann@example.com", currency: "CHF" };
  let mailer: Mailer;
  beforeEach(async () => {
    mailer = await Mailer.open(served.client);
  });
  afterEach(async () => {
    await mailer[Symbol.asyncDispose]();
    await expectNoSession();
  });

  test("escapes the body, not the subject, and keeps line breaks out of it", async () => {
    await mailer.add("hello", "Hi {{ name }}", "<p>{{ name }}</p>", { name: "x" });
    const mail = await mailer.render("hello", ann, { name: "<Ann> & co\nBcc: all@example.com" });
    expect(mail.to).toBe("ann@example.com");
    expect(mail.subject).toBe("Hi <Ann> & co Bcc: all@example.com");
    expect(mail.html).toContain("<p>&lt;Ann&gt; &amp; co\nBcc: all@example.com</p>");
  });

  test("knows for each mail whom it is for, also in functions, and with many at once", async () => {
    await mailer.add("due", "due", "{{ money(n) }}", { n: 1 });
    const currencies = ["EUR", "CHF", "USD", "GBP"];
    const mails = await Promise.all(
      currencies.map((currency, n) => mailer.render("due", { address: `${n}@example.com`, currency }, { n })),
    );
    mails.forEach(({ html }, n) => {
      expect(html).toContain(`${n}.00 ${currencies[n]}`);
      expect(html).toContain(`?who=${n}%40example.com"`);
    });
  });

  test("tells the line of a template that is broken, and keeps the one there was", async () => {
    const sample = { items: [1] };
    await mailer.add("a", "old", "old", sample);
    for (const [subject, body, message, line] of [
      ["new", "\n{% for x of items %}", /a\.html:2: /, 2],
      ["new", "{% end %}", /a\.html:1: /, 1],
      ["new", "\n\n{{ nope }}", /a\.html:3: 'nope' is not defined/, 3],
      ["{{ nope }}", "new", /a\.txt:1: 'nope' is not defined/, 1],
    ] as const) {
      const error = await mailer.add("a", subject, body, sample).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(TemplateError);
      expect(error).toMatchObject({ message: expect.stringMatching(message), line });
    }
    const { subject, html } = await mailer.render("a", ann, sample);
    expect([subject, html.split("\n")[1]]).toEqual(["old", "old"]);
  });
});

describe("the sheet", () => {
  let sheet: Sheet;
  beforeEach(async () => {
    sheet = await Sheet.open(served.client, "let calls = 0; function slow(n) { calls++; return n * 2 }");
  });
  afterEach(async () => {
    await sheet[Symbol.asyncDispose]();
    await expectNoSession();
  });

  test("computes again what depends on a change, and nothing else", async () => {
    await sheet.set({ A: "1", B: "10", SUM: "A + B", DOUBLE: "slow(SUM)", OTHER: "slow(B)", CALLS: "calls" });
    expect(await sheet.set({ A: "2" })).toEqual({ A: 2, SUM: 12, DOUBLE: 24 });
    // Two at first, and one of them again.
    expect(await sheet.set({ CALLS: "calls" })).toEqual({ CALLS: 3 });
    // What a cell no longer names it does not depend on.
    expect(await sheet.set({ SUM: "B" })).toEqual({ SUM: 10, DOUBLE: 20 });
    expect(await sheet.set({ A: "3" })).toEqual({ A: 3 });
  });

  test("shows what is wrong with a cell, and what is wrong because of it", async () => {
    expect(await sheet.set({ A: "B + 1", C: "A + 1" })).toEqual({
      A: { error: "'B' is not defined" },
      C: { error: "'B' is not defined" },
    });
    expect(await sheet.set({ B: "1" })).toEqual({ A: 2, B: 1, C: 3 });
    const cycle = await sheet.set({ B: "C" });
    expect(cycle).toEqual({
      A: { error: "cycle: B > C > A > B" },
      B: { error: "cycle: B > C > A > B" },
      C: { error: "cycle: B > C > A > B" },
    });
    expect(await sheet.set({ ME: "ME" })).toMatchObject({ ME: { error: "cycle: ME > ME" } });
    expect(await sheet.set({ B: "5" })).toMatchObject({ A: 6, B: 5, C: 7 });
  });

  test("sets all formulas or none", async () => {
    await sheet.set({ A: "1" });
    await expect(sheet.set({ A: "2", B: "1 +" })).rejects.toThrow(GuestError);
    await expect(sheet.set({ A: "2", Math: "3" })).rejects.toThrow("no cell can have this name: Math");
    await expect(sheet.set({ A: "2", B: "(() => { for (;;); })()" })).rejects.toThrow(StoppedError);
    expect(await sheet.set({ C: "[A, typeof B]" })).toEqual({ C: [1, "undefined"] });
  });
});

describe("the tool for a language model", () => {
  let tool: CodeTool;
  beforeEach(async () => {
    tool = await CodeTool.open(served.client, { mostText: 200 });
  });
  afterEach(async () => {
    await tool[Symbol.asyncDispose]();
    await expectNoSession();
  });

  test("remembers what ended well, and nothing of what failed", async () => {
    expect(await tool.run("let n = 1; console.log('n', n); n")).toEqual({ ok: true, text: "n 1\n=> 1" });
    const thrown = await tool.run("n = 2; console.log('so far'); await null; null.x");
    expect(thrown.ok).toBe(false);
    expect(thrown.text).toMatch(/^so far\nfailed, and nothing of it stays: TypeError: .*\n.*tool\.js:1:/);
    expect((await tool.run("n = 3; for (;;);")).text).toContain("failed, and nothing of it stays: the execution ran");
    expect(await tool.run("n")).toEqual({ ok: true, text: "=> 1" });
    expect(await tool.run("n +")).toMatchObject({ ok: false });
  });

  test.each([
    "for (let i = 0; i < 1e4; i++) console.log('line', i)",
    "'x'.repeat(1e6)",
    "Array.from({ length: 1e5 }, (_, i) => ({ i }))",
    "throw new Error('x'.repeat(1e5))",
    "(function deep(n) { if (n === 0) throw new Error('deep'); deep(n - 1) })(1000)",
  ])("lets the model read no more than it can: %s", async (code) => {
    expect((await tool.run(code)).text.length).toBeLessThan(200 + 50);
  });

  test("goes on with the first attempt that passes the check, or with none", async () => {
    await tool.run("const list = [3, 1, 2]");
    const attempts = ["list.length = 0; throw 1", "list.reverse()", "list.sort()", "list.sort((a, b) => a - b)"];
    const { kept, results } = await tool.attempt(attempts, "list.join() === '1,2,3'");
    expect([kept, results.map(({ ok }) => ok)]).toEqual([2, [false, true, true, true]]);
    expect((await tool.run("list")).text).toBe("=> [ 1, 2, 3 ]");
    expect((await tool.attempt(["list.length = 0"], "list.length === 3")).kept).toBe(-1);
    expect((await tool.run("list.length")).text).toBe("=> 3");
  });
});
