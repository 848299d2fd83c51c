/** Host functions of clients that come and go in ways that are not orderly, as the wire has them. */
import { Code, type HostFunction } from "@livescope/proto";
import { Livescope, type Session } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { cancelling, executing, exposing, passing, RawConnection, replying, returned } from "./support/connection.js";
import { withServer } from "./support/server.js";
import { type Clients, connectClients } from "./support/unary-client.js";

const served = withServer({ hibernateAfter: 0.2 });
let clients: Clients;
const opened: RawConnection[] = [];

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
afterEach(() => {
  for (const each of opened.splice(0)) each.stream.cancel();
});

function open(): RawConnection {
  const made = new RawConnection(clients.sandbox);
  opened.push(made);
  return made;
}

const NONE = { seconds: 0n, nanos: 0 };
const fn = (hostFunctionId: string): HostFunction => ({ hostFunctionId, name: "fn" });
const isAsleep = (session: Session) =>
  expect.poll(async () => (await session.info()).state, { timeout: 20_000 }).toBe("HIBERNATED");

describe("a client whose stream ends while the session wakes", () => {
  async function asleep(setup = ""): Promise<Session> {
    const session = await served.client.createSession({ setup });
    await isAsleep(session);
    return session;
  }

  test("frees its names when its window is over", async () => {
    const { id: sessionId } = await asleep();
    const gone = open();
    const request = { sessionId, names: ["f"], connectionId: "gone", reconnectWindow: NONE };
    // What is no frame is answered at once.
    gone.send(exposing(1, request), { frameId: 0n, frame: undefined });
    await gone.until(({ frameId }) => frameId === 0n);
    gone.stream.cancel();
    const expose = async () => {
      const other = open();
      other.send(exposing(1, { sessionId, names: ["f"], connectionId: "other" }));
      return other.exposed(1);
    };
    await expect.poll(expose, { timeout: 20_000 }).toEqual(["f"]);
  });

  test("is not asked for what it passed, and lets the session rest again", async () => {
    const session = await asleep("function use(fn) { return fn() }");
    const gone = open();
    gone.send(passing(1, session.id, "use", fn("passed")));
    gone.stream.end();
    expect(await gone.answer(1)).toBe("exception Error");
    expect(gone.hostCalls).toEqual([]);
    await isAsleep(session);
  });

  test("finds what it passed again when it is back, if it has said who it is", async () => {
    const session = await asleep("let kept; function keep(fn) { kept = fn }");
    const gone = open();
    gone.send(exposing(1, { sessionId: session.id, connectionId: "c" }), passing(2, session.id, "keep", fn("mine")));
    gone.stream.end();
    expect(await gone.answer(2)).toBe("value undefined");
    const running = session.execute("await kept()");
    const back = open();
    back.send(exposing(1, { sessionId: session.id, connectionId: "c" }));
    back.send(replying(2, (await back.hostCall()).hostCallId, returned("found")));
    expect(await running).toBe("found");
  });
});

describe("a function that is passed twice", () => {
  const kept = () => served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });

  async function answered(session: Session, by: RawConnection): Promise<void> {
    const running = session.execute("await kept()");
    const call = Promise.race([by.hostCall(), running.then(() => Promise.reject(new Error("not asked")))]);
    by.send(replying(100, (await call).hostCallId, returned("here")));
    expect(await running).toBe("here");
  }

  test("is the second client's still when the first one is given up", async () => {
    const session = await kept();
    const { id: sessionId } = session;
    const [first, second] = [open(), open()];
    for (const [each, connectionId] of [[first, "first"] as const, [second, "second"] as const]) {
      each.send(
        exposing(1, { sessionId, names: [connectionId], connectionId, reconnectWindow: NONE }),
        passing(2, sessionId, "keep", fn("both")),
      );
      expect(await each.answer(2)).toBe("value undefined");
    }
    first.stream.cancel();
    // Its name tells when it has been given up.
    expect(await session.execute("while (await first().then(() => true, (error) => /gone/.test(error))); 0")).toBe(0);
    await answered(session, second);
  });

  test("stays where the guest has it from before and the second command never runs", async () => {
    const session = await kept();
    const { id: sessionId } = session;
    const client = open();
    client.send(passing(1, sessionId, "keep", fn("again")));
    expect(await client.answer(1)).toBe("value undefined");
    client.send(
      executing(2, "for (const end = Date.now() + 200; Date.now() < end; );", { sessionId }),
      passing(3, sessionId, "keep", fn("again")),
      cancelling(3),
    );
    expect(await client.answer(3)).toBe("stopped 7");
    await client.answer(2);
    await answered(session, client);
  });

  test("stays where a command that brings it too has yet to run", async () => {
    const session = await kept();
    const { id: sessionId } = session;
    const client = open();
    client.send(
      executing(1, "for (const end = Date.now() + 200; Date.now() < end; );", { sessionId }),
      passing(2, sessionId, "keep", fn("soon")),
      passing(3, sessionId, "keep", fn("soon")),
      cancelling(2),
    );
    expect(await client.answer(2)).toBe("stopped 7");
    expect(await client.answer(3)).toBe("value undefined");
    await answered(session, client);
  });
});

describe("an atomic execution that is undone", () => {
  const released = (by: RawConnection) =>
    by.frames.flatMap(({ frame }) => (frame?.$case === "releasedHostFunctionId" ? [frame.value] : []));

  test("has let go of nothing that was passed before", async () => {
    const session = await served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    const { id: sessionId } = session;
    const client = open();
    client.send(passing(1, sessionId, "keep", fn("mine")));
    expect(await client.answer(1)).toBe("value undefined");
    // Garbage is collected when the memory has grown, and that is told in the next turn.
    const letGo = "kept = undefined; void Array.from({ length: 100_000 }, (_, i) => ({ i }))";
    const turn = "await new Promise((resolve) => setTimeout(resolve))";
    for (const more of ["", `${turn};`]) {
      const atomic = session.execute(`${letGo}; ${turn}; ${more} throw new Error("undone")`, { atomic: true });
      await expect(atomic).rejects.toThrow("undone");
    }
    const running = session.execute("await kept()");
    const call = Promise.race([client.hostCall(), running.then(() => Promise.reject(new Error("not asked")))]);
    client.send(replying(2, (await call).hostCallId, returned("here")));
    expect(await running).toBe("here");
    expect(released(client)).toEqual([]);
    await session.execute(`${letGo}; ${turn}`, { atomic: true });
    await expect.poll(() => released(client)).toEqual(["mine"]);
  });

  test("gives back what was passed to it", async () => {
    const session = await served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    const { id: sessionId } = session;
    const client = open();
    const requestId = "atomic";
    const code = "emit(1); await new Promise((resolve) => setTimeout(resolve, 500)); throw new Error()";
    client.send(executing(1, code, { sessionId, atomic: true, requestId }));
    await client.until(({ frame }) => frame?.$case === "event" && frame.value.event?.$case === "emitted");
    const bindings = new Map([["f", { kind: { $case: "hostFunction" as const, value: fn("undone") } }]]);
    client.send(executing(2, "keep(f)", { sessionId, parentExecutionId: requestId, bindings }));
    expect(await client.answer(2)).toBe("value undefined");
    expect(await client.answer(1)).toBe("exception Error");
    await expect.poll(() => released(client)).toEqual(["undone"]);
  });
});

describe("an expose that is refused", () => {
  test("takes over nothing", async () => {
    const { id: sessionId } = await served.client.createSession();
    const [first, second] = [open(), open()];
    first.send(exposing(1, { sessionId, names: ["f"], connectionId: "first" }));
    await first.exposed(1);
    first.send(executing(2, "await f()", { sessionId }));
    await first.hostCall();
    second.send(exposing(1, { sessionId, names: ["f", "NaN"], connectionId: "second", takeOver: true }));
    expect(await second.exposed(1)).toBe(`status ${Code.INVALID_ARGUMENT}`);
    // The call that went to the second client for a moment is made again.
    first.send(replying(3, (await first.hostCall(2)).hostCallId, returned("mine")));
    expect(await first.answer(2)).toBe('value "mine"');
  });

  test("takes nothing from the one after it", async () => {
    const { id: sessionId } = await served.client.createSession();
    const client = open();
    client.send(
      exposing(1, { sessionId, names: ["g", "NaN"], connectionId: "c" }),
      exposing(2, { sessionId, names: ["g"], connectionId: "c" }),
    );
    expect(await client.exposed(1)).toBe(`status ${Code.INVALID_ARGUMENT}`);
    expect(await client.exposed(2)).toEqual(["g"]);
    client.send(executing(3, "await g()", { sessionId }));
    client.send(replying(4, (await client.hostCall()).hostCallId, returned(1)));
    expect(await client.answer(3)).toBe("value 1");
  });
});

describe("open calls", () => {
  test("stay with a stream that takes a name over from itself, by another connection_id", async () => {
    const { id: sessionId } = await served.client.createSession();
    const client = open();
    client.send(exposing(1, { sessionId, names: ["f"] }));
    await client.exposed(1);
    client.send(executing(2, "await f()", { sessionId }));
    const { hostCallId } = await client.hostCall();
    client.send(exposing(3, { sessionId, names: ["f"], takeOver: true }));
    expect(await client.exposed(3)).toEqual(["f"]);
    client.send(replying(4, hostCallId, returned(1)));
    expect(await client.answer(2)).toBe("value 1");
    expect(client.hostCalls).toHaveLength(1);
  });

  describe("of a client by two streams", () => {
    const request = (sessionId: string) => ({ sessionId, names: ["f"], connectionId: "c" });

    async function takenTurns(): Promise<{ first: RawConnection; second: RawConnection; hostCallId: string }> {
      const { id: sessionId } = await served.client.createSession();
      const [first, second] = [open(), open()];
      first.send(exposing(1, request(sessionId)), executing(2, "await f()", { sessionId }));
      const { hostCallId } = await first.hostCall();
      second.send(exposing(1, request(sessionId)));
      expect((await second.hostCall()).hostCallId).toBe(hostCallId);
      return { first, second, hostCallId };
    }

    const turnOf = async (stream: RawConnection, { hostCalls: [call] }: RawConnection) => {
      stream.send(exposing(3, request(call?.sessionId ?? "")));
      expect(await stream.exposed(3)).toEqual(["f"]);
    };

    test("are sent once on each, also when the first one's turn comes again", async () => {
      const { first, second, hostCallId } = await takenTurns();
      await turnOf(first, second);
      first.send(replying(4, hostCallId, returned("first")));
      expect(await first.answer(2)).toBe('value "first"');
      expect(first.hostCalls).toHaveLength(1);
    });

    test("are sent again on the first one if it answered out of its turn", async () => {
      const { first, second, hostCallId } = await takenTurns();
      first.send(replying(3, hostCallId, returned("early")));
      const { hostCallId: again } = await (async () => {
        first.send(exposing(4, request(second.hostCalls[0]?.sessionId ?? "")));
        return first.hostCall(2);
      })();
      expect(again).toBe(hostCallId);
      first.send(replying(5, again, returned("in turn")));
      expect(await first.answer(2)).toBe('value "in turn"');
    });

    test("do not hold up the end of the first one when the server stops", async () => {
      const stopping = await startServer();
      const { sandbox, close } = connectClients(stopping.address);
      const client = await Livescope.connect(stopping.address);
      const { id } = await client.createSession();
      const [first, second] = [new RawConnection(sandbox), new RawConnection(sandbox)];
      first.send(exposing(1, request(id)));
      await first.exposed(1);
      const running = client.attach(id).execute("await f()");
      await first.hostCall();
      second.send(exposing(1, request(id)));
      second.send(replying(2, (await second.hostCall()).hostCallId, returned("second")));
      expect(await running).toBe("second");
      const stopped = stopping.close();
      for (const each of [first, second]) expect(await each.ended).toMatchObject({ code: Code.UNAVAILABLE });
      client.close();
      close();
      await stopped;
    });
  });
});

test("a client that was away is told which of its functions the guest never got", async () => {
  const session = await served.client.createSession({ setup: "function spin(fn) { for (;;); }" });
  const { id: sessionId } = session;
  const client = open();
  client.send(exposing(1, { sessionId, connectionId: "c" }), passing(2, sessionId, "spin", fn("lost")));
  await client.exposed(1);
  // Its command ends with the stream, in its first turn.
  client.stream.cancel();
  await session.execute("0");
  const back = open();
  back.send(exposing(1, { sessionId, connectionId: "c" }));
  await back.until(({ frame }) => frame?.$case === "releasedHostFunctionId" && frame.value === "lost");
});

test("a client that comes too late to a session that has rested since is told that nobody holds what it had passed", async () => {
  const session = await served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
  const { id: sessionId } = session;
  const expose = exposing(1, { sessionId, connectionId: "c", reconnectWindow: { seconds: 0n, nanos: 1_000_000 } });
  const client = open();
  client.send(expose, passing(2, sessionId, "keep", fn("mine")));
  expect(await client.answer(2)).toBe("value undefined");
  client.stream.cancel();
  await isAsleep(session);
  const back = open();
  back.send(expose);
  await back.until(({ frame }) => frame?.$case === "releasedHostFunctionId" && frame.value === "mine");
});

test("a thousand names of the longest fit into a message, and a longer one is refused", async () => {
  const { id: sessionId } = await served.client.createSession();
  const client = open();
  // None takes more bytes in UTF-8.
  const long = (name: string) => name.padStart(1_024, "\u4e00");
  client.send(exposing(1, { sessionId, names: [`${long("f")}g`], connectionId: "c" }));
  expect(await client.exposed(1)).toBe(`status ${Code.INVALID_ARGUMENT}`);
  const names = Array.from({ length: 1_000 }, (_, i) => long(`f${i}`));
  for (let i = 0; i < names.length; i += 500) {
    client.send(exposing(2 + i, { sessionId, names: names.slice(i, i + 500), connectionId: "c" }));
    expect(await client.exposed(2 + i)).toHaveLength(i + 500);
  }
});

test("exposures that wait for a busy session take a bounded amount", async () => {
  const { id: sessionId } = await served.client.createSession();
  const client = open();
  const names = Array.from({ length: 1_000 }, (_, i) => `f${i}`.padStart(1_024, "f"));
  client.send(executing(1, "for (;;);", { sessionId }));
  const ids = Array.from({ length: 10 }, (_, i) => i + 2);
  for (const id of ids) client.send(exposing(id, { sessionId, names, connectionId: "c" }));
  const refused = `status ${Code.RESOURCE_EXHAUSTED}`;
  expect(await client.exposed(11)).toBe(refused);
  client.send(cancelling(1));
  const answers = await Promise.all(ids.map((id) => client.exposed(id)));
  expect(answers.filter((answer) => answer === refused)).toHaveLength(3);
  expect(answers.filter((answer) => answer.length === 1_000)).toHaveLength(7);
  client.send(exposing(12, { sessionId, names, connectionId: "c" }));
  expect(await client.exposed(12)).toHaveLength(1_000);
});

test("a client with an open stream lets a session rest that has all of its functions back", async () => {
  const session = await served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
  const { id: sessionId } = session;
  const client = open();
  client.send(
    exposing(1, { sessionId, connectionId: "c", reconnectWindow: NONE }),
    passing(2, sessionId, "keep", fn("back")),
  );
  expect(await client.answer(2)).toBe("value undefined");
  client.send({ frameId: 3n, frame: { $case: "releaseHostFunctionId", value: "back" } });
  await isAsleep(session);
  // It is known as one that comes anew.
  client.send(exposing(4, { sessionId, names: ["f"], connectionId: "c" }));
  expect(await client.exposed(4)).toEqual(["f"]);
});

test("a session rests that has given back what the SDK passed to it, though its client lends to another", async () => {
  const lender = await served.client.createSession();
  await lender.expose({ f: () => 1 });
  const setup = "let kept; function use(fn) { return fn() } function keep(fn) { kept = fn }";
  const used = await served.client.createSession({ setup });
  expect(await used.call("use", [() => 5])).toBe(5);
  // Garbage is collected when the memory has grown.
  await used.execute("void Array.from({ length: 100_000 }, (_, i) => ({ i }))");
  await used.execute("0");
  const disposed = await served.client.createSession({ setup });
  const attached = served.client.attach(disposed.id);
  await attached.call("keep", [() => 1]);
  await attached[Symbol.asyncDispose]();
  await Promise.all([isAsleep(used), isAsleep(disposed)]);
  expect(await lender.execute("f()")).toBe(1);
});

test("a session does not wait for what a client had passed that is closed, though an exposure of that was refused", async () => {
  const session = await served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
  await session.expose({ taken: () => 1 });
  const lender = await Livescope.connect(served.server.address);
  const theirs = lender.attach(session.id);
  await theirs.call("keep", [() => 5]);
  await expect(theirs.expose({ taken: () => 2 })).rejects.toThrow("another client provides taken");
  expect(await session.execute("kept()")).toBe(5);
  lender.close();
  await expect(session.execute("kept()")).rejects.toThrow(/^(no client provides this function|the client .* is gone)/);
});
