/** What the SDK does when its server, or the way to it, goes away and comes back. */
import { createServer } from "node:net";
import { ConnectionLostError, type HostCallContext, Livescope, type Session, UnavailableError } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { isLong } from "./support/is-long.js";
import { Wire } from "./support/wire-to-server.js";

/** One for all tests: what breaks is the way to it. */
let server: RunningServer;
let wire: Wire;
let client: Livescope;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

beforeEach(async () => {
  wire = new Wire(server.address);
  client = await Livescope.connect(await wire.open());
});
afterEach(() => {
  client.close();
  wire.close();
});

/** Whether what counts in it counts no more. */
async function isStill(session: Session): Promise<boolean> {
  const before = await session.execute("n");
  await new Promise((resolve) => setTimeout(resolve, 50));
  return before === (await session.execute("n"));
}

describe("when the connection breaks", () => {
  test("a call fails and says so, what it ran ends, and the next one goes through", async () => {
    await using session = await client.createSession({ setup: "let n = 0" });
    const lost = session.execute("for (;;) { n++; await new Promise((resolve) => setTimeout(resolve, 1)) }");
    await expect.poll(() => session.execute<number>("n")).toBeGreaterThan(0);
    wire.cut();
    await expect(lost).rejects.toThrow(ConnectionLostError);
    await expect(lost).rejects.toThrow(UnavailableError);
    await expect.poll(() => isStill(session), { timeout: 5_000 }).toBe(true);
  });

  test("a call with a request id runs once, and its outcome comes over the next connection", async () => {
    await using session = await client.createSession({ setup: "let n = 0" });
    const requestId = crypto.randomUUID();
    const code = "n++; await new Promise((resolve) => setTimeout(resolve, 400)); n";
    const kept = session.execute(code, { requestId });
    await expect.poll(() => session.execute<number>("n")).toBe(1);
    wire.cut();
    expect(await kept).toBe(1);
    expect(await session.execute("n")).toBe(1);
  });

  test.each(["connect", "unary"] as const)(
    "a call that is aborted while there is none ends later, over %s",
    async (transport) => {
      await using own = await Livescope.connect(wire.address, { transport, reconnectTimeout: 25_000 });
      await using watcher = await Livescope.connect(server.address);
      await using session = await own.createSession({ setup: "let n = 0", limits: { timeout: 60_000 } });
      const seen = watcher.attach(session.id);
      const controller = new AbortController();
      const code = "for (;;) { n++; await new Promise((resolve) => setTimeout(resolve, 1)) }";
      const options = { requestId: crypto.randomUUID(), signal: controller.signal };
      const aborted = session.execute(code, options);
      const lost = session.execute("for (;;) await new Promise((resolve) => setTimeout(resolve, 1))", {
        onConsole() {},
      });
      await expect.poll(() => seen.execute<number>("n")).toBeGreaterThan(0);
      wire.close();
      await expect(lost).rejects.toBeInstanceOf(UnavailableError);
      await expect(own.serverInfo()).rejects.toBeInstanceOf(UnavailableError);
      controller.abort(new Error("enough"));
      await expect(aborted).rejects.toThrow("enough");
      await wire.open();
      await expect.poll(() => isStill(seen), { timeout: 15_000 }).toBe(true);
    },
  );

  test("a client that is closed after such an abort opens no stream for it", async () => {
    const ownWire = new Wire(server.address);
    const uncaught: unknown[] = [];
    const note = (error: unknown): void => void uncaught.push(error);
    const listeners = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection").on("unhandledRejection", note);
    try {
      const own = await Livescope.connect(await ownWire.open());
      const session = await own.createSession();
      const controller = new AbortController();
      const options = { requestId: crypto.randomUUID(), signal: controller.signal };
      const aborted = session.execute("await new Promise((resolve) => setTimeout(resolve, 1_000))", options);
      const lost = session.execute("await new Promise((resolve) => setTimeout(resolve, 1_000))");
      await session.execute("1");
      ownWire.cut();
      await expect(lost).rejects.toBeInstanceOf(ConnectionLostError);
      controller.abort(new Error("enough"));
      own.close();
      await expect(aborted).rejects.toThrow("enough");
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(uncaught).toEqual([]);
    } finally {
      ownWire.close();
      process.removeAllListeners("unhandledRejection");
      for (const each of listeners) process.on("unhandledRejection", each);
    }
  });

  test("calls that are sent again run in the order in which they were made", async () => {
    for (let round = 0; round < 3; round++) {
      await using session = await client.createSession({ setup: "const log = []" });
      wire.stall();
      const calls: Promise<number>[] = [];
      for (let i = 0; i < 5; i++) {
        calls.push(session.execute<number>(`log.push(${i})`, { requestId: crypto.randomUUID() }));
        // Each in a message of its own.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      wire.cut();
      expect(await Promise.all(calls)).toEqual([1, 2, 3, 4, 5]);
      expect(await session.execute("log")).toEqual([0, 1, 2, 3, 4]);
    }
  });

  test("a stream of values fails, as some of them may be lost", async () => {
    await using session = await client.createSession();
    const stream = session.stream<number>("for (let i = 0; ; i++) await emit(i)", { requestId: crypto.randomUUID() });
    const reading = (async () => {
      for await (const value of stream) if (value === 5) wire.cut();
    })();
    await expect(reading).rejects.toThrow(ConnectionLostError);
  });
});

describe("when the connection of a client with host functions breaks", () => {
  test("its calls wait for it, run once, and are answered over the next one", async () => {
    await using session = await client.createSession();
    const began: number[] = [];
    let answer: (value: string) => void = () => undefined;
    await session.expose({
      ask: (n: number) => {
        began.push(n);
        return n === 1 ? new Promise<string>((resolve) => (answer = resolve)) : "quick";
      },
    });
    await using other = await Livescope.connect(server.address);
    const running = other.attach(session.id).execute("await ask(1)");
    await expect.poll(() => began).toEqual([1]);
    wire.cut();
    expect(await other.attach(session.id).execute("await ask(2)")).toBe("quick");
    answer("slow");
    expect(await running).toBe("slow");
    expect(began).toEqual([1, 2]);
  });

  test("a call that outlives its execution runs once", async () => {
    await using session = await client.createSession({ setup: "let asked" });
    const signals: AbortSignal[] = [];
    let answer: (value: string) => void = () => undefined;
    const ask = (_: unknown, { signal }: HostCallContext) => {
      signals.push(signal);
      return new Promise<string>((resolve) => (answer = resolve));
    };
    await session.expose({ ask });
    await using other = await Livescope.connect(server.address);
    await other.attach(session.id).execute("asked = ask(1); 0", { timeout: 200 });
    await expect.poll(() => signals.length).toBe(1);
    wire.close();
    // A second after the execution's time it was taken for cancelled.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await wire.open();
    await expect.poll(() => session.execute("'back'").catch(() => undefined), { timeout: 10_000 }).toBe("back");
    answer("once");
    expect(await other.attach(session.id).execute("await asked")).toBe("once");
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });

  test("such a call runs once also where the session waits longer than its exposure asked for", async () => {
    await using session = await client.createSession({ setup: "let asked" });
    let began = 0;
    let answer: (value: string) => void = () => undefined;
    const ask = () => {
      began++;
      return new Promise<string>((resolve) => (answer = resolve));
    };
    await session.expose({ ask }, { reconnectWindow: 200 });
    await session.expose({ more: () => 1 }, { reconnectWindow: 60_000 });
    await using other = await Livescope.connect(server.address);
    await other.attach(session.id).execute("asked = ask(); 0", { timeout: 200 });
    await expect.poll(() => began).toBe(1);
    wire.close();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await wire.open();
    await expect.poll(() => session.execute("'back'").catch(() => undefined), { timeout: 10_000 }).toBe("back");
    answer("once");
    expect(await other.attach(session.id).execute("await asked")).toBe("once");
    expect(began).toBe(1);
  });

  test("what was answered while it was away is told when it is back", async () => {
    await using session = await client.createSession();
    let count = 0;
    await session.expose({
      ask: async () => {
        count++;
        wire.cut();
        return "answered";
      },
    });
    await using other = await Livescope.connect(server.address);
    expect(await other.attach(session.id).execute("await ask()")).toBe("answered");
    expect(count).toBe(1);
  });

  test("functions passed as values are found again", async () => {
    await using session = await client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    await session.call("keep", [(x: number) => x + 1]);
    await using other = await Livescope.connect(server.address);
    wire.cut();
    expect(await other.attach(session.id).execute("await kept(1)")).toBe(2);
  });

  test("functions passed after an exposure was released are found again", async () => {
    await using session = await client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    const exposure = await session.expose({ f: () => 1 });
    await exposure.release();
    await session.call("keep", [(x: number) => x + 1]);
    await using other = await Livescope.connect(server.address);
    wire.cut();
    expect(await other.attach(session.id).execute("await kept(1)")).toBe(2);
  });

  test("what runs of an exposure that was released is found again, and answered", async () => {
    await using session = await client.createSession();
    let answer: ((value: string) => void) | undefined;
    const exposure = await session.expose({ ask: () => new Promise<string>((resolve) => (answer = resolve)) });
    await using other = await Livescope.connect(server.address);
    const running = other.attach(session.id).execute("await ask()");
    await expect.poll(() => answer).toBeDefined();
    await exposure.release();
    wire.cut();
    await expect.poll(() => session.execute("'back'").catch(() => undefined)).toBe("back");
    answer?.("answered");
    expect(await running).toBe("answered");
  });

  test("functions passed to a session that was made anew by the id of a deleted one are found again", async () => {
    const options = { sessionId: "anew", setup: "let kept; function keep(fn) { kept = fn }" };
    const former = await client.createSession(options);
    await former.call("keep", [() => "former"]);
    await former.delete();
    await using session = await client.createSession(options);
    await session.call("keep", [() => "called"]);
    await using other = await Livescope.connect(server.address);
    wire.cut();
    await expect.poll(() => session.execute("'back'").catch(() => undefined)).toBe("back");
    expect(await other.attach("anew").execute("await kept()")).toBe("called");
  });

  test("functions passed after an exposure was refused are found again", async () => {
    await using session = await client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    await using other = await Livescope.connect(server.address);
    await other.attach(session.id).expose({ f: () => 1 });
    await expect(session.expose({ f: () => 2 })).rejects.toMatchObject({ reason: "HOST_FUNCTION_TAKEN" });
    await session.call("keep", [(x: number) => x + 1]);
    wire.cut();
    expect(await other.attach(session.id).execute("await kept(1)")).toBe(2);
  });

  test("functions passed after such as nobody got are found again, also when its stream had ended meanwhile", async () => {
    const session = await client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    const refused = session.call("keep", [() => 1], { requestId: "no id\n" });
    await expect(refused).rejects.toThrow("request_id");
    // A stream without anything in flight ends after a second.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    await session.execute("1");
    await session.call("keep", [() => "called"]);
    wire.cut();
    await expect.poll(() => session.execute("kept()").catch(() => undefined)).toBe("called");
  });

  test.runIf(isLong)(
    "all that it lends is lent again, also where it is more than the server takes at once",
    async () => {
      await using session = await client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
      const names = Array.from({ length: 1_000 }, (_, i) => `f${i}`);
      const exposures = await Promise.all(names.map((name) => session.expose({ [name]: () => name })));
      await session.call("keep", [() => "kept"]);
      await using other = await Livescope.connect(server.address);
      wire.cut();
      expect(await other.attach(session.id).execute("await kept()")).toBe("kept");
      const calling = names.map((name) => other.attach(session.id).call(name).catch(String));
      expect(await Promise.all(calling)).toEqual(names);
      const ended = exposures.map((exposure) => exposure.ended);
      expect(await Promise.race([...ended, session.execute("'none'")])).toBe("none");
    },
  );

  test("functions passed as values are found again also if another client took the name of an exposure meanwhile", async () => {
    await using session = await client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    await session.expose({ f: () => 1 });
    await session.call("keep", [(x: number) => x + 1]);
    await using other = await Livescope.connect(server.address);
    await other.attach(session.id).expose({ f: () => 2 }, { takeOver: true });
    wire.cut();
    expect(await other.attach(session.id).execute("await kept(1)", { timeout: 10_000 })).toBe(2);
  });

  test("an exposure ends with an error if another client took the name meanwhile", async () => {
    await using session = await client.createSession();
    const exposure = await session.expose({ f: () => 1 }, { reconnectWindow: 0 });
    await using other = await Livescope.connect(server.address);
    wire.close();
    await other.attach(session.id).expose({ f: () => 2 }, { takeOver: true });
    await wire.open();
    expect(await exposure.ended).toMatchObject({ reason: "HOST_FUNCTION_TAKEN" });
    expect(await session.execute("await f()")).toBe(2);
  });
});

describe.each(["connect", "unary"] as const)("while there is no server, over %s,", (transport) => {
  const opened = { transport, reconnectTimeout: 800 } as const;
  const settled = (call: Promise<unknown>) => call.then(String, (error: unknown) => error);

  test("each call waits for its own time, and then says where to and why there was no connection", async () => {
    await using impatient = await Livescope.connect(wire.address, opened);
    await using session = await impatient.createSession();
    wire.close();
    await settled(impatient.serverInfo());
    const order: string[] = [];
    const calls = [
      ["run", () => session.execute("1")],
      ["listen", () => session.execute("1", { onConsole: () => undefined })],
      ["expose", () => session.expose({ f: () => 1 })],
      ["create", () => impatient.createSession()],
      ["watch", () => session.watch().next()],
      ["export", () => impatient.exportSnapshot("a-snapshot").next()],
      ["import", () => impatient.importSnapshot(Buffer.from("a snapshot"))],
    ] as const;
    const make = (round: string) =>
      calls.map(async ([name, call]) => {
        const error = await settled(call());
        order.push(round);
        return [name, error] as const;
      });
    const first = make("first");
    await new Promise((resolve) => setTimeout(resolve, 400));
    const second = make("second");
    for (const [name, error] of await Promise.all([...first, ...second])) {
      expect(error, name).toMatchObject({
        name: "UnavailableError",
        stack: expect.stringContaining("reconnect.test.ts"),
        message: `no connection to ${wire.address} for 800 ms (connect ECONNREFUSED ${wire.address})`,
      });
    }
    expect(order).toEqual([...Array(calls.length).fill("first"), ...Array(calls.length).fill("second")]);
  });

  test("a client that is closed while calls wait opens no connection for them", async () => {
    const own = await Livescope.connect(wire.address, { transport, reconnectTimeout: 20_000 });
    const session = await own.createSession();
    wire.close();
    await settled(own.serverInfo());
    const waiting = [session.execute("1"), session.info(), session.watch().next(), own.createSession()].map(settled);
    own.close();
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ name: "DisposedError" });
    const connected = vi.fn();
    const listening = createServer((socket) => {
      connected();
      socket.destroy();
    }).listen(Number(wire.address.split(":").at(-1)), "127.0.0.1");
    // Of what waits to be repeated the first would come by now.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    listening.close();
    expect(connected).not.toHaveBeenCalled();
  });

  test("a call that comes when the server is back goes through", async () => {
    await using impatient = await Livescope.connect(wire.address, opened);
    wire.close();
    await settled(impatient.execute("1"));
    await settled(impatient.execute("1"));
    await wire.open();
    expect(await impatient.execute("6 * 7")).toBe(42);
  });
});

test("a call that somebody listens to has no more time than its timeout where there is no server", async () => {
  for (const transport of ["connect", "unary"] as const) {
    await using patient = await Livescope.connect(wire.address, { transport, reconnectTimeout: 60_000 });
    const session = await patient.createSession();
    wire.close();
    // It notices by what is on its way.
    await session.execute("1", { timeout: 200 }).catch(() => undefined);
    const call = session.execute("1", { timeout: 200, onConsole: () => undefined });
    await expect(call).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await wire.open();
  }
});

test("without a server calls fail after a while, and not with what may have run", async () => {
  const own = await startServer();
  await using impatient = await Livescope.connect(own.address, { reconnectTimeout: 500 });
  const session = impatient.attach("s");
  await own.close();
  await expect(session.execute("1")).rejects.toMatchObject({ name: "UnavailableError", code: "UNAVAILABLE" });
});
