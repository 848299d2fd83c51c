import { CallRequest, Code } from "@livescope/proto";
import { GuestError, type Livescope, NotFoundError, type Session, StoppedError } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect } from "./support/server.js";
import { connectClients, send } from "./support/unary-client.js";

const COUNTER = "let total = 0; function inc(n){ return total += n }";

/** The same promises whether a session stays on one worker or changes it with every turn. */
describe.each([
  { name: "a session that stays on its worker", rotateWorkers: false },
  { name: "a session that changes its worker with every turn", rotateWorkers: true },
])("a function keeps its scope, in $name", ({ rotateWorkers }) => {
  let server: RunningServer;
  let client: Livescope;
  let session: Session;

  beforeAll(async () => {
    server = await startServer({ rotateWorkers });
    client = await connect(server.address);
  });
  afterAll(async () => {
    await client.close();
    await server.close();
  });
  beforeEach(async () => {
    session = await client.createSession();
    return () => session.delete();
  });

  test("S1: a function sees the globals of the execution that defined it", async () => {
    await session.execute("global_a = 123; function func_a() { console.log(global_a) }");
    const { console } = await session.execute("func_a()").execution();
    expect(console.map(({ text }) => text)).toEqual(["123"]);
  });

  test("S2: a function sees what a later execution assigned", async () => {
    await session.execute("var x = 1; function f(){ return x }");
    expect(await session.execute("x = 2; f()")).toBe(2);
  });

  test("S3: calls through a handle change the session's own variables", async () => {
    await session.execute(COUNTER);
    await using inc = await session.handle("inc");
    expect(await inc.call([5])).toBe(5);
    expect(await inc.call([2])).toBe(7);
    expect(await session.execute("total")).toBe(7);
  });

  test("S4: a handle sees what an execution assigned meanwhile", async () => {
    await session.execute(COUNTER);
    await using inc = await session.handle("inc");
    await inc.call([7]);
    await session.execute("total = 100");
    expect(await inc.call([1])).toBe(101);
  });

  test("S5: methods are called by path", async () => {
    await session.execute("const c = (() => { let n = 0; return { up: () => ++n, get: () => n } })()");
    expect(await session.call("c.up")).toBe(1);
    expect(await session.call("c.up")).toBe(2);
    expect(await session.fn<[], number>("c.get")()).toBe(2);
  });

  test("S6: a binding is seen by its source and the closures made there, and nowhere else", async () => {
    expect(await session.execute("var g = () => x; g()", { bindings: { x: 10 } })).toBe(10);
    expect(await session.execute("typeof x")).toBe("undefined");
    expect(await session.call("g")).toBe(10);
  });

  test.each(["f()", "f?.()", "f``", "0\nf()", "await f()", "(() => f())()", "eval('f()')", "eval('f?.()')"])(
    "S6: a function that is called by the name of a binding gets none of the others: %s",
    async (code) => {
      await using f = await session.handle("(function () { 'use strict'; return this === undefined })");
      expect(await session.execute(code, { bindings: { f, secret: 1 } })).toBe(true);
    },
  );

  test("S6: bindings change nothing about how functions of the session are called", async () => {
    await session.execute("function sum(...all) { return all.reduce((a, b) => a + b) }");
    const code =
      "let none, own = () => x; [sum?.(x, 1), none?.(), own?.(), (() => sum?.(x))(), String(() => sum?.(x))]";
    expect(await session.execute(code, { bindings: { x: 2 } })).toEqual([3, undefined, 2, 2, "() => sum?.(x)"]);
  });

  test("S7: sessions do not see each other", async () => {
    await using other = await client.createSession();
    await Promise.all([session.execute(COUNTER), other.execute(COUNTER)]);
    expect(await session.call("inc", [5])).toBe(5);
    expect(await other.execute("total")).toBe(0);
  });

  test("S8: a handle of another session is not found, as target and as argument, and nothing runs", async () => {
    await using other = await client.createSession();
    await session.execute(`${COUNTER} var calls = 0; function take() { calls++ }`);
    await other.execute(COUNTER);
    await using foreign = await other.handle("inc");
    const clients = connectClients(server.address);
    const asTarget = CallRequest.fromPartial({ sessionId: session.id, handleId: foreign.id });
    await expect(send(clients.sandbox, clients.sandbox.call, asTarget)).rejects.toMatchObject({ code: Code.NOT_FOUND });
    clients.close();
    await expect(session.call("take", [foreign])).rejects.toMatchObject({
      name: NotFoundError.name,
      reason: "HANDLE_NOT_FOUND",
    });
    expect(await session.execute("[calls, total]")).toEqual([0, 0]);
    expect(await other.execute("total")).toBe(0);
  });

  test("S9: a redeclared variable is the one that older functions see", async () => {
    await session.execute("let x = 1; function f(){ return x }");
    expect(await session.execute("let x = 5; f()")).toBe(5);
  });

  test("S10: constants may be declared again, also after an initialiser threw", async () => {
    await session.execute("const K = 1");
    expect(await session.execute("const K = 2; K")).toBe(2);
    await expect(session.execute("let z = (() => { throw 1 })()")).rejects.toThrow(GuestError);
    expect(await session.execute("let z = 3; z")).toBe(3);
  });

  test("S11: a throw is an answer with the guest's own frames, and the session goes on", async () => {
    const failure = await session.execute("function bad(){ throw new TypeError('no') } bad()").catch((error) => error);
    expect(failure).toBeInstanceOf(GuestError);
    const { guestName, message, phase, frames } = failure as GuestError;
    expect({ guestName, message, phase }).toEqual({ guestName: "TypeError", message: "no", phase: "EVALUATE" });
    expect(frames[0]).toMatchObject({ functionName: "bad", line: 1 });
    expect(await session.execute("1+1")).toBe(2);
  });

  test("S12: of 40 calls from 8 clients at once each counts once", async () => {
    await session.execute(COUNTER);
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(server.address)));
    const results = await Promise.all(
      clients.flatMap((each) => Array.from({ length: 5 }, () => each.attach(session.id).call<number>("inc", [1]))),
    );
    expect(results.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(await session.execute("total")).toBe(40);
    await Promise.all(clients.map((each) => each.close()));
  });

  test("S15: what a stopped turn did is undone", async () => {
    await session.execute(COUNTER);
    await using inc = await session.handle("inc");
    await session.execute("total = 7");
    const failure = await session.execute('total = 8; new Array(1e9)+""', { timeout: 200 }).catch((error) => error);
    expect(failure).toBeInstanceOf(StoppedError);
    expect(failure).toMatchObject({ reason: "TIMEOUT", undone: true });
    expect(await inc.call([1])).toBe(8);
  });

  test("S16: a repeated request id gives the first answer and changes nothing", async () => {
    await session.execute(COUNTER);
    const requestId = crypto.randomUUID();
    const answers = [await session.call("inc", [5], { requestId }), await session.call("inc", [5], { requestId })];
    expect(answers).toEqual([5, 5]);
    expect(await session.execute("total")).toBe(5);
  });

  test("S17: a promise that can never settle fails at once", async () => {
    await expect(session.execute("new Promise(() => {})")).rejects.toMatchObject({ phase: "DEADLOCK" });
  });
});
