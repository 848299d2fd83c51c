/** Host functions, as a plain client of the wire has them. */
import { Code, Encoding, type HostFunction, type ServerFrame, type Status } from "@livescope/proto";
import type { Session } from "@livescope/sdk";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cancelling, executing, exposing, passing, RawConnection, replying, returned } from "./support/connection.js";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";
import { type Clients, connectClients } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;
let connection: RawConnection;
let session: Session;
const opened: RawConnection[] = [];

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
beforeEach(async () => {
  connection = open();
  session = await served.client.createSession({
    setup: "const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));",
  });
});
afterEach(async () => {
  for (const each of opened.splice(0)) each.stream.cancel();
  await session.delete();
});

function open(): RawConnection {
  const made = new RawConnection(clients.sandbox);
  opened.push(made);
  return made;
}

async function expose(request: Partial<Parameters<typeof exposing>[1]> = {}, on = connection): Promise<void> {
  on.send(exposing(1, { sessionId: session.id, names: ["f"], connectionId: "c", ...request }));
  expect(await on.exposed(1)).toContain("f");
}

const duration = (milliseconds: number) => ({ seconds: 0n, nanos: milliseconds * 1_000_000 });
const run = (frameId: number, code: string) => executing(frameId, code, { sessionId: session.id });

function statusOf(on: RawConnection, frameId: number): Status | undefined {
  const frame = on.frames.find((each: ServerFrame) => each.frameId === BigInt(frameId))?.frame;
  return frame?.$case === "status" ? frame.value : undefined;
}

describe("expose", () => {
  test("is told when its session ends, under the last frame that exposed something there", async () => {
    await expose();
    connection.send(exposing(2, { sessionId: session.id, names: ["g"], connectionId: "c" }));
    expect(await connection.exposed(2)).toEqual(["f", "g"]);
    await session.delete();
    const { frameId, frame } = await connection.until(({ frame }) => frame?.$case === "status");
    expect([frameId, frame?.value]).toMatchObject([2n, { code: Code.ABORTED }]);
    // Once, and another session of its id is another.
    await using again = await served.client.createSession({ sessionId: session.id });
    connection.send(exposing(3, { sessionId: again.id, names: ["f"], connectionId: "c" }));
    expect(await connection.exposed(3)).toEqual(["f"]);
    expect(connection.frames.filter(({ frame }) => frame?.$case === "status")).toHaveLength(1);
  });

  test("gives the session functions that call the client, and the guest what it answers", async () => {
    connection.send(exposing(1, { sessionId: session.id, names: ["add", "f"] }));
    expect(await connection.exposed(1)).toEqual(["add", "f"]);
    connection.send(executing(2, "await add(2, 3)", { sessionId: session.id, requestId: "mine" }));
    const call = await connection.hostCall();
    expect(call).toMatchObject({ sessionId: session.id, executionId: "mine", function: { name: "add" } });
    expect(call.function?.hostFunctionId).toBe("");
    expect(call.args.map(({ kind }) => kind?.value)).toEqual(["2", "3"]);
    expect(Number(call.remainingTime?.seconds)).toBeGreaterThan(0);
    connection.send(replying(3, call.hostCallId, returned(5)));
    expect(await connection.answer(2)).toBe("value 5");
  });

  test("adds names when it is said again, and makes no call again that was sent on the stream", async () => {
    await expose();
    connection.send(run(2, "await f()"));
    const call = await connection.hostCall();
    connection.send(exposing(3, { sessionId: session.id, names: ["g"], connectionId: "c" }));
    expect(await connection.exposed(3)).toEqual(["f", "g"]);
    connection.send(replying(4, call.hostCallId, returned(1)));
    expect(await connection.answer(2)).toBe("value 1");
    expect(connection.hostCalls).toHaveLength(1);
  });

  test("refuses what is wrong with it", async () => {
    const { id: sessionId } = session;
    connection.send(
      exposing(1, { sessionId, names: ["not a name"] }),
      exposing(2, { sessionId, names: ["await"] }),
      exposing(3, { sessionId, names: ["f"], reconnectWindow: { seconds: -1n, nanos: 0 } }),
      exposing(4, { sessionId, names: ["f"], reconnectWindow: { seconds: 86_400n, nanos: 0 } }),
      exposing(5, { sessionId: "nobody", names: ["f"] }),
      exposing(6, { sessionId, names: ["f"], connectionId: "\0" }),
      exposing(7, { sessionId, names: ["NaN"] }),
      exposing(8, { sessionId, names: ["__proto__"] }),
    );
    const answers = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((id) => connection.exposed(id)));
    const wrong = `status ${Code.INVALID_ARGUMENT}`;
    expect(answers).toEqual([wrong, wrong, wrong, wrong, `status ${Code.NOT_FOUND}`, wrong, wrong, wrong]);
    expect(await session.execute("typeof f")).toBe("undefined");
  });

  test("takes no more at once for a session than that may have names, and goes on when those are answered", async () => {
    const { id: sessionId } = session;
    await expose();
    // Until it ends they wait.
    connection.send(run(2, "for (;;);"));
    connection.send(
      ...Array.from({ length: 1_001 }, (_, i) => exposing(i + 3, { sessionId, names: ["f"], connectionId: "c" })),
    );
    expect(await connection.exposed(1_003)).toBe(`status ${Code.RESOURCE_EXHAUSTED}`);
    connection.send(cancelling(2));
    expect(await connection.exposed(1_002)).toEqual(["f"]);
    connection.send(exposing(1_004, { sessionId, names: ["g"], connectionId: "c" }));
    expect(await connection.exposed(1_004)).toEqual(["f", "g"]);
  });

  test("refuses a name that another client provides, unless it is taken over", async () => {
    await expose();
    const second = open();
    second.send(exposing(1, { sessionId: session.id, names: ["g", "f"], connectionId: "d" }));
    expect(await second.exposed(1)).toBe(`status ${Code.ALREADY_EXISTS}`);
    expect(JSON.stringify(statusOf(second, 1)?.details.map(({ value }) => value.toString()))).toContain(
      "HOST_FUNCTION_TAKEN",
    );
    connection.send(run(2, "await f(1)"));
    const call = await connection.hostCall();
    second.send(exposing(2, { sessionId: session.id, names: ["f"], connectionId: "d", takeOver: true }));
    expect((await second.hostCall()).hostCallId).toBe(call.hostCallId);
    await connection.until(({ frame }) => frame?.$case === "hostCallCancelled");
    const left = await connection.until(({ frameId, frame }) => frameId === 0n && frame?.$case === "exposed");
    expect(left.frame?.value).toEqual({ sessionId: session.id, names: [], connectionId: "c" });
    // Who had it before has no say any more.
    connection.send(replying(3, call.hostCallId, returned("old")));
    await new Promise((resolve) => setTimeout(resolve, 50));
    second.send(replying(3, call.hostCallId, returned("new")));
    expect(await connection.answer(2)).toBe('value "new"');
  });
});

describe("when the stream ends", () => {
  test("calls wait, and are sent again by the next one with their ids", async () => {
    await expose();
    const running = session.execute("const a = f(1); const b = f(2); [await a, await b]");
    const first = await connection.hostCall(1);
    const ids = [first.hostCallId, (await connection.hostCall(2)).hostCallId];
    connection.send(replying(2, first.hostCallId, returned("one")));
    await expect.poll(() => session.info().then(({ usage }) => usage?.turns ?? 0)).toBeGreaterThanOrEqual(0);
    connection.stream.cancel();
    await connection.ended;
    const next = open();
    next.send(exposing(1, { sessionId: session.id, names: ["f"], connectionId: "c" }));
    const again = await next.hostCall();
    expect(ids).toContain(again.hostCallId);
    for (const [i, call] of next.hostCalls.entries()) {
      next.send(replying(2 + i, call.hostCallId, returned(call.args[0]?.kind?.value === "1" ? "one" : "two")));
    }
    expect(await running).toEqual(["one", "two"]);
  });

  test("calls are rejected once the window is over", async () => {
    await expose({ reconnectWindow: duration(100) });
    const running = session.execute("try { await f() } catch (error) { String(error) }");
    await connection.hostCall();
    connection.stream.cancel();
    expect(await running).toBe("Error: the client that provides this function is gone");
    expect(await session.execute("try { await f() } catch (error) { String(error) }")).toBe(
      "Error: no client provides the function f now",
    );
    const other = open();
    other.send(exposing(1, { sessionId: session.id, names: ["f"], connectionId: "other" }));
    expect(await other.exposed(1)).toEqual(["f"]);
  });

  test("calls are rejected at once if the window is zero", async () => {
    await expose({ reconnectWindow: duration(0) });
    const running = session.execute("await f()");
    await connection.hostCall();
    connection.stream.end();
    await expect(running).rejects.toThrow("is gone");
  });
});

describe("host calls", () => {
  test("are cancelled with the execution that waits for them", async () => {
    await expose();
    connection.send(run(2, "await f()"));
    const { hostCallId } = await connection.hostCall();
    connection.send(cancelling(2));
    expect(await connection.answer(2)).toBe("stopped 7");
    const { frame } = await connection.until(({ frame }) => frame?.$case === "hostCallCancelled");
    expect(frame?.value).toEqual({ hostCallId });
    connection.send(replying(3, hostCallId, returned(1)), replying(4, "unknown", returned(1)));
    expect(await session.execute("1")).toBe(1);
  });

  test("are answered by their own client alone", async () => {
    await expose();
    connection.send(run(2, "await f()"));
    const { hostCallId } = await connection.hostCall();
    const other = open();
    other.send(exposing(1, { sessionId: session.id, names: ["g"], connectionId: "d" }));
    await other.exposed(1);
    other.send(replying(2, hostCallId, returned("forged")), executing(3, "0"));
    await other.answer(3);
    connection.send(replying(3, hostCallId, returned("true")));
    expect(await connection.answer(2)).toBe('value "true"');
  });

  test("reject with a TypeError where the answer cannot be read", async () => {
    await expose();
    const text = "try { await f() } catch (error) { error instanceof TypeError && error.message }";
    const wrong = [
      { $case: "json" as const, value: "{" },
      { $case: "json" as const, value: "1\u0000" },
      { $case: "graph" as const, value: "[7,[" },
      { $case: "hostFunction" as const, value: { hostFunctionId: "x", name: "" } },
      {
        $case: "handle" as const,
        value: { handleId: "nobody", type: "", className: "", preview: "", arity: 0 },
      },
    ];
    for (const [i, kind] of wrong.entries()) {
      connection.send(run(10 + i * 2, text));
      const { hostCallId } = await connection.hostCall(i + 1);
      connection.send(replying(11 + i * 2, hostCallId, { $case: "value", value: { kind } }));
      expect(await connection.answer(10 + i * 2)).toContain("cannot be read");
    }
  });

  test("of the client's error give one with its name, message and cause", async () => {
    await expose();
    connection.send(
      run(
        2,
        "try { await f() } catch (e) { [e.name, e.message, e instanceof RangeError, e.cause.name, e.cause.cause] }",
      ),
    );
    const { hostCallId } = await connection.hostCall();
    const error = { stack: "", frames: [], phase: 0, errors: [], cause: undefined, thrown: undefined };
    const thrown = { kind: { $case: "json" as const, value: "7" } };
    const innermost = { ...error, name: "", message: "", thrown };
    const cause = { ...error, name: "MyError", message: "inner", cause: innermost };
    connection.send(
      replying(3, hostCallId, {
        $case: "exception",
        value: { ...error, name: "RangeError", message: "too \0 far", cause },
      }),
    );
    expect(await connection.answer(2)).toBe('value ["RangeError","too \ufffd far",true,"MyError",7]');
  });

  test("outlive their execution, and their answer waits for the next one", async () => {
    await expose();
    connection.send(run(2, "f().then((x) => { globalThis.late = x }); 'gone'"));
    expect(await connection.answer(2)).toBe('value "gone"');
    const { hostCallId } = await connection.hostCall();
    connection.send(replying(3, hostCallId, returned("late")));
    const turns = async () => (await session.info()).usage?.turns;
    const before = await turns();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await turns()).toBe(before);
    expect(await session.execute("await 0; globalThis.late")).toBe("late");
  });

  test("ask in the encoding of the execution, but for one that wants no value or a handle of it", async () => {
    await expose();
    const kinds: (string | undefined)[] = [];
    for (const [i, encoding] of [Encoding.UNSPECIFIED, Encoding.JSON, Encoding.HANDLE, Encoding.NONE].entries()) {
      connection.send(executing(10 + 2 * i, "await f({ a: 1 })", { sessionId: session.id, encoding }));
      const call = await connection.hostCall(i + 1);
      kinds.push(call.args[0]?.kind?.$case);
      connection.send(replying(11 + 2 * i, call.hostCallId, undefined));
      await connection.answer(10 + 2 * i);
    }
    expect(kinds).toEqual(["data", "json", "json", "json"]);
  });

  test("hold what they cannot copy until they are answered, and no longer", async () => {
    await expose();
    connection.send(run(2, "await f(() => 1)"));
    const call = await connection.hostCall();
    expect(call.args[0]?.kind?.$case).toBe("handle");
    expect((await session.info()).handleCount).toBe(1);
    connection.send(replying(3, call.hostCallId, undefined));
    await connection.answer(2);
    expect((await session.info()).handleCount).toBe(0);
  });

  test("hold nothing where an argument cannot be read", async () => {
    await expose();
    connection.send(
      run(2, "await f(() => 1, { get broken() { throw new Error('guest') } }).catch(({ message }) => message)"),
    );
    expect(await connection.answer(2)).toBe('value "guest"');
    expect((await session.info()).handleCount).toBe(0);
    connection.send(run(3, "await new Promise(() => {})"));
    expect(await connection.answer(3)).toBe("exception TypeError");
  });

  test("are no deadlock while they are open", async () => {
    await expose();
    connection.send(run(2, "await f()"), run(3, "await new Promise(() => {})"));
    const { hostCallId } = await connection.hostCall();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(connection.frames.some(({ frame }) => frame?.$case === "event")).toBe(false);
    connection.send(replying(4, hostCallId, returned(1)));
    expect(await connection.answer(2)).toBe("value 1");
    expect(await connection.answer(3)).toBe("exception TypeError");
  });

  test("reach the client within an atomic execution, whose undoing cancels what is open", async () => {
    await expose();
    connection.send(executing(2, "f(1); await f(2); throw new Error('no')", { sessionId: session.id, atomic: true }));
    const { hostCallId } = await connection.hostCall(2);
    connection.send(replying(3, hostCallId, returned(0)));
    expect(await connection.answer(2)).toBe("exception Error");
    await connection.until(({ frame }) => frame?.$case === "hostCallCancelled");
    connection.send(run(4, "await f(3)"));
    connection.send(replying(5, (await connection.hostCall(3)).hostCallId, returned("still")));
    expect(await connection.answer(4)).toBe('value "still"');
    // An id that has been outside is never drawn again.
    expect(new Set(connection.hostCalls.map(({ hostCallId: id }) => id)).size).toBe(3);
  });

  test("keep the answer of an earlier call through an atomic execution that is undone", async () => {
    await expose();
    connection.send(run(2, "globalThis.early = f(1); 0"));
    await connection.answer(2);
    const early = await connection.hostCall(1);
    connection.send(executing(3, "await f(2); throw new Error('no')", { sessionId: session.id, atomic: true }));
    const inner = await connection.hostCall(2);
    connection.send(replying(4, early.hostCallId, returned("early")), replying(5, inner.hostCallId, returned(0)));
    expect(await connection.answer(3)).toBe("exception Error");
    expect(await session.execute("await globalThis.early")).toBe("early");
  });
});

describe("functions that are passed as values", () => {
  const twice: HostFunction = { hostFunctionId: "twice", name: "twice" };

  test("are called any number of times, and released when the guest holds them no more", async () => {
    await session.execute("let kept; async function keep(fn) { kept = fn; return [fn.name, typeof fn, await fn(1)] }");
    connection.send(passing(1, session.id, "keep", twice));
    const call = await connection.hostCall();
    expect(call.function).toEqual(twice);
    connection.send(replying(2, call.hostCallId, returned(2)));
    expect(await connection.answer(1)).toBe('value ["twice","function",2]');
    const again = session.execute("await kept(21)");
    connection.send(replying(3, (await connection.hostCall(2)).hostCallId, returned(42)));
    expect(await again).toBe(42);
    // Garbage is collected when the memory has grown.
    await session.execute("kept = undefined; void Array.from({ length: 100_000 }, (_, i) => ({ i }))");
    await session.execute("0");
    const { frame } = await connection.until(({ frame }) => frame?.$case === "releasedHostFunctionId");
    expect(frame?.value).toBe("twice");
  });

  test("reject once the client has released them", async () => {
    await session.execute("let kept; function keep(fn) { kept = fn }");
    connection.send(passing(1, session.id, "keep", twice));
    expect(await connection.answer(1)).toBe("value undefined");
    const running = session.execute(
      "const open = kept(); const e = await open.catch(String); [e, await kept().catch(String)]",
    );
    await connection.hostCall();
    connection.send({ frameId: 2n, frame: { $case: "releaseHostFunctionId", value: "twice" } });
    expect(await running).toEqual([
      "Error: the client has released this function",
      "Error: no client provides the function twice now",
    ]);
  });

  test("are released when the guest never got them", async () => {
    await session.execute("function spin(fn) { for (;;); }");
    connection.send(passing(1, session.id, "spin", twice));
    await new Promise((resolve) => setTimeout(resolve, 50));
    connection.send(cancelling(1));
    expect(await connection.answer(1)).toBe("stopped 7");
    await connection.until(({ frame }) => frame?.$case === "releasedHostFunctionId");
  });

  test("find their client again on another stream, if it has said who it is", async () => {
    await session.execute("let kept; function keep(fn) { kept = fn }");
    connection.send(exposing(1, { sessionId: session.id, connectionId: "c" }), passing(2, session.id, "keep", twice));
    expect(await connection.answer(2)).toBe("value undefined");
    const running = session.execute("await kept(4)");
    const { hostCallId } = await connection.hostCall();
    connection.stream.cancel();
    await connection.ended;
    const next = open();
    next.send(exposing(1, { sessionId: session.id, connectionId: "c" }));
    expect((await next.hostCall()).hostCallId).toBe(hostCallId);
    next.send(replying(2, hostCallId, returned(8)));
    expect(await running).toBe(8);
  });

  test("are refused outside of Connect", async () => {
    const frame = passing(1, session.id, "keep", twice).frame;
    const command = frame?.$case === "command" ? frame.value.command : undefined;
    if (command?.$case !== "call") throw new Error("no call");
    const { value } = command;
    const code = await new Promise((resolve) => clients.sandbox.call(value, (error) => resolve(error?.code)));
    expect(code).toBe(Code.INVALID_ARGUMENT);
  });
});

describe("a hostile guest", () => {
  test.runIf(isLong)("may have ten thousand calls open, and no more", async () => {
    await session.delete();
    session = await served.client.createSession({ limits: { timeout: 60_000 } });
    await expose();
    connection.send(
      run(
        2,
        `let refused = 0; let answered = 0;
        const all = Array.from({ length: 10_100 }, () => f().then(() => answered++, () => refused++));
        await Promise.all(all); [answered, refused]`,
      ),
    );
    await connection.hostCall(10_000);
    expect(connection.hostCalls).toHaveLength(10_000);
    connection.send(...connection.hostCalls.map(({ hostCallId }, i) => replying(3 + i, hostCallId, undefined)));
    expect(await connection.answer(2)).toBe("value [10000,100]");
  });

  test("calls without end and without awaiting, and is stopped, with nothing of it told", async () => {
    await expose();
    connection.send(
      executing(2, "for (;;) f('x'.repeat(1000))", {
        sessionId: session.id,
        limits: { cpuTime: duration(500) } as never,
      }),
    );
    expect(await connection.answer(2)).toMatch(/^stopped/);
    expect(connection.hostCalls).toHaveLength(0);
    expect(await session.execute("1")).toBe(1);
  });

  test("cannot make the server keep more arguments than sixteen mebibytes", async () => {
    await expose();
    const code = `const big = 'x'.repeat(900_000); let refused = 0;
      for (let i = 0; i < 30; i++) { f(big).catch(() => refused++); await sleep(1) }
      while (refused < 12) await sleep(1);
      await sleep(20); refused`;
    connection.send(run(2, code));
    expect(await connection.answer(2)).toBe("value 12");
  });

  test("cannot make the server keep more locals of calls than sixteen mebibytes", async () => {
    await expose();
    const code = `let refused = 0;
      locals.with({ big: 'x'.repeat(900_000) }, () => { for (let i = 0; i < 30; i++) f().catch(() => refused++) });
      while (refused < 12) await sleep(1);
      await sleep(20); refused`;
    connection.send(run(2, code));
    expect(await connection.answer(2)).toBe("value 12");
  });

  test("cannot make the server keep more answers than sixty-four mebibytes, by not taking them", async () => {
    await expose();
    const calls = 24;
    const call = `for (let i = 0; i < ${calls}; i++) f().then(() => taken++, (error) => refused.push(error.message)); 0`;
    connection.send(run(2, `var taken = 0, refused = []; ${call}`));
    expect(await connection.answer(2)).toBe("value 0");
    // No execution is in flight while these come.
    const big = returned("x".repeat(3_000_000));
    for (let i = 0; i < calls; i++) {
      connection.send(replying(3 + i, (await connection.hostCall(i + 1)).hostCallId, big));
    }
    // It is of the same stream, so it comes after them; and there is room again once it has let them be taken.
    connection.send(run(100, `[taken, refused.length, ...new Set(refused)]`));
    const told =
      "the answers of host functions that wait to be taken are too large together, in this session or in all; await calls before making more";
    expect(await connection.answer(100)).toBe(`value [22,2,${JSON.stringify(told)}]`);
    connection.send(run(101, "(await f()).length"));
    connection.send(replying(102, (await connection.hostCall(calls + 1)).hostCallId, big));
    expect(await connection.answer(101)).toBe("value 3000000");
  });
});
