/** Whatever ends a turn before its time: it is undone, nothing of it is seen outside, and everybody else goes on. */
import { Encoding, ExecuteRequest, type ExecuteResponse, StopReason } from "@livescope/proto";
import { ExecutionError, GuestError, type Session, StoppedError } from "@livescope/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";
import { type Clients, connectClients, send } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;
let session: Session;
/** What reached the host function. */
let told: unknown[] = [];

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
beforeEach(async () => {
  told = [];
  session = await served.client.createSession({
    limits: { memoryBytes: 16 << 20, handles: 100 },
    setup: `
      let total = 7;
      const list = [1, 2, 3];
      function inc(n) { return total += n }
      const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));`,
  });
  await session.expose({ tell: (what: unknown) => told.push(what), gate: () => opened });
  return () => session.delete();
});

let open: () => void = () => undefined;
let opened: Promise<void>;
beforeEach(() => {
  opened = new Promise((resolve) => (open = resolve));
});

/** Everything that a turn can leave behind, or send. */
const LEAVE = `
  total = 1000;
  list.push("gone");
  list.self = list;
  globalThis.left = new Array(1000).fill("gone");
  Array.prototype.gone = true;
  Promise.prototype.then.gone = true;
  setTimeout(() => { total = 2000; tell("timer") }, 1);
  tell("host");
  emit("emitted");
  console.log("printed");
  console.error("printed too");`;

interface Cause {
  readonly code: string;
  /** Of an outcome `stopped`; absent: an exception, as atomic executions undo them. */
  readonly reason?: string;
  readonly timeout?: number;
  readonly cpuTime?: number;
  /** Aborted when the execution has surely begun. */
  readonly isAborted?: boolean;
  readonly isAtomicOnly?: boolean;
}

/** What ends a turn. */
const CAUSES: Readonly<Record<string, Cause>> = {
  "its timeout, in a loop": { code: "for (;;);", reason: "TIMEOUT", timeout: 600 },
  "its timeout, in a chain of jobs": { code: "for (;;) await null;", reason: "TIMEOUT", timeout: 600 },
  "its CPU time": { code: "for (;;);", reason: "CPU_TIME", cpuTime: 200 },
  "its timeout, in a catch of everything": {
    code: "for (;;) { try { for (;;); } catch {} finally { continue } }",
    reason: "TIMEOUT",
    timeout: 600,
  },
  "the end of its thread": { code: 'new Array(1e9) + ""', reason: "TIMEOUT", timeout: 600 },
  "the end of its thread, for its CPU time": { code: 'new Array(1e9) + ""', reason: "CPU_TIME", cpuTime: 200 },
  "a trap": {
    code: "Reflect.ownKeys(new Proxy({}, { ownKeys() { return { length: 0x20000001 } } }))",
    reason: "ENGINE_TRAP",
  },
  "too much memory": { code: "for (const all = []; ; ) all.push(new Array(1e4).fill(1))", reason: "MEMORY" },
  "too much memory, and it catches the error": {
    code: "try { new ArrayBuffer(1e8) } catch { total = 3000 }",
    reason: "MEMORY",
  },
  "too many handles": { code: "Array.from({ length: 200 }, () => () => 1)", reason: "HANDLES" },
  "an exception": { code: "throw new RangeError('no')", isAtomicOnly: true },
  "a rejection": { code: "await Promise.reject(new RangeError('no'))", isAtomicOnly: true },
  "a result that cannot be encoded": { code: "({ get x() { throw new RangeError('no') } })", isAtomicOnly: true },
};

interface Ended {
  readonly error: ExecutionError;
  readonly emitted: readonly unknown[];
}

/** Runs what must not give a value. */
async function failing(code: string, { timeout, cpuTime }: Cause, atomic: boolean): Promise<Ended> {
  const emitted: unknown[] = [];
  const limits = cpuTime === undefined ? {} : { cpuTime };
  const stream = session.stream(code, { timeout: timeout ?? 20_000, limits, atomic });
  try {
    for await (const value of stream) emitted.push(value);
  } catch (error) {
    if (error instanceof ExecutionError) return { error, emitted };
    throw error;
  }
  throw new Error("it gave a value");
}

function expectOutcome({ error }: Ended, { reason }: Cause): void {
  expect(error).toBeInstanceOf(reason === undefined ? GuestError : StoppedError);
  if (reason === undefined) expect(error).toMatchObject({ guestName: "RangeError", message: "no" });
  else expect(error).toMatchObject({ reason });
  expect(error.undone).toBe(true);
}

/** The session is as it was made, but for its total. */
async function expectAsBefore(total: number): Promise<void> {
  // Time for a timer that should be gone.
  const facts = await session.execute(
    "await sleep(10); [total, list.join(), 'self' in list, typeof left, [].gone, Promise.prototype.then.gone]",
  );
  expect(facts).toEqual([total, "1,2,3", false, "undefined", undefined, undefined]);
  expect(told).toEqual([]);
}

const ATOMIC = Object.keys(CAUSES);
const PLAIN = ATOMIC.filter((name) => CAUSES[name]?.isAtomicOnly !== true);
const causeOf = (name: string): Cause => CAUSES[name] as Cause;

describe("a turn that is ended by", () => {
  test.each(PLAIN)("%s is undone, and nothing of it is seen", async (name) => {
    const cause = causeOf(name);
    const handle = await session.handle("inc");
    const { handleCount } = await session.info();
    const ended = await failing(`${LEAVE}; ${cause.code}`, cause, false);
    expectOutcome(ended, cause);
    expect(ended.emitted).toEqual([]);
    expect(ended.error.console.map(({ text, undone }) => [text, undone])).toEqual([
      ["printed", true],
      ["printed too", true],
    ]);
    await expectAsBefore(7);
    expect(await handle.call([1])).toBe(8);
    expect((await session.info()).handleCount).toBe(handleCount);
  });

  test.each(PLAIN)("%s leaves the turns before it standing", async (name) => {
    const cause = causeOf(name);
    const ended = await failing(
      `inc(1); console.log("kept"); emit("kept"); await sleep(1); ${LEAVE}; ${cause.code}`,
      cause,
      false,
    );
    expectOutcome(ended, cause);
    expect(ended.emitted).toEqual(["kept"]);
    expect(ended.error.console.map(({ text, undone }) => [text, undone])).toEqual([
      ["kept", false],
      ["printed", true],
      ["printed too", true],
    ]);
    await expectAsBefore(8);
  });

  test.each(ATOMIC)("%s takes all turns of an atomic execution with it", async (name) => {
    const cause = causeOf(name);
    const ended = await failing(
      `inc(1); console.log("first"); await sleep(1); inc(1); await sleep(1); ${LEAVE}; ${cause.code}`,
      cause,
      true,
    );
    expectOutcome(ended, cause);
    expect(ended.error.console.map(({ undone }) => undone)).toEqual([true, true, true]);
    // An exception is no reason to hold back what its turn sent: a host call that left is not taken back.
    if (cause.reason === undefined) told = [];
    await expectAsBefore(7);
  });

  test.each(PLAIN)("%s leaves the others in flight alone", async (name) => {
    const cause = causeOf(name);
    const waiting = session.execute("await gate(); inc(10)");
    const ticking = session.execute("for (let i = 0; i < 20; i++) { await sleep(20); inc(1) } 'ticked'");
    await session.execute("0");
    const ended = await failing(`const mine = 1; ${cause.code}`, cause, false);
    expectOutcome(ended, cause);
    expect(await ticking).toBe("ticked");
    open();
    expect(await waiting).toBe(37);
    expect(await session.execute("typeof mine")).toBe("undefined");
  });

  test("draws no number and no id again that its console has told", async () => {
    const drawn = "[crypto.randomUUID(), Math.random()].join(' ')";
    const told: unknown[] = [];
    await session.update({ limits: { cpuTime: 200 } });
    for (const hang of ["for (;;);", 'new Array(1e9) + ""', "for (;;);"]) {
      const stopped = await Promise.resolve(session.execute(`console.log(${drawn}); ${hang}`)).catch((error) => error);
      expect(stopped).toMatchObject({ reason: "CPU_TIME", console: [{ undone: true }] });
      told.push(...(stopped as StoppedError).console.map(({ text }) => text));
    }
    told.push(await session.execute(drawn));
    expect(new Set(told.flatMap((each) => String(each).split(" "))).size).toBe(8);
  });

  test("is followed by none that draws what its console has told, also by such as came together with it", async () => {
    const drawn = "[crypto.randomUUID(), Math.random()].join(' ')";
    const told: unknown[] = [];
    await session.update({ limits: { cpuTime: 200 } });
    for (const hang of ["for (;;);", 'new Array(1e9) + ""']) {
      const stopped = Promise.resolve(session.execute(`console.log(${drawn}); ${hang}`)).catch((error) => error);
      told.push(...(await Promise.all([session.execute(drawn), session.execute(drawn)])));
      told.push(...((await stopped) as StoppedError).console.map(({ text }) => text));
    }
    expect(new Set(told.flatMap((each) => String(each).split(" "))).size).toBe(12);
  });

  test("cancelling is undone, whether it polls or its thread has to be ended", async () => {
    for (const code of ["for (;;);", 'new Array(1e9) + ""']) {
      const abort = new AbortController();
      const requestId = crypto.randomUUID();
      const running = session.execute(`${LEAVE}; ${code}`, { requestId, signal: abort.signal });
      setTimeout(() => abort.abort(new Error("enough")), 150);
      await expect(running).rejects.toThrow("enough");
      // A repeat is told how it ended.
      const error = await session.execute(`${LEAVE}; ${code}`, { requestId }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ reason: "CANCELLED", undone: true });
      await expectAsBefore(7);
    }
  });

  test("a value that is too large for its encoding is undone", async () => {
    const request = ExecuteRequest.fromPartial({
      sessionId: session.id,
      code: `${LEAVE}; 'x'.repeat(4e6)`,
      encoding: Encoding.JSON,
    });
    const { execution } = await send<ExecuteRequest, ExecuteResponse>(
      clients.sandbox,
      clients.sandbox.execute,
      request,
    );
    const { outcome, undone, console } = execution ?? {};
    expect(outcome?.$case === "stopped" && StopReason[outcome.value.reason]).toBe("VALUE_SIZE");
    expect([undone, console?.map((entry) => entry.undone)]).toEqual([true, [true, true]]);
    await expectAsBefore(7);
  });

  test("S15: a builtin that hangs in a session with handles", async () => {
    const inc = await session.handle("inc");
    const error = await session.execute("total = 8; new Array(1e9)+''", { timeout: 200 }).catch((thrown) => thrown);
    expect(error).toMatchObject({ reason: "TIMEOUT", undone: true });
    expect(await inc.call([1])).toBe(8);
  });

  test("S18: what an atomic execution throws", async () => {
    const throwing = session.execute("total = 50; throw new Error('x')", { atomic: true });
    await expect(throwing).rejects.toMatchObject({ guestName: "Error", message: "x", undone: true });
    expect(await session.execute("total")).toBe(7);
  });
});

describe("an execution that waits when it is ended", () => {
  /** What it waits for, of the things that code can wait for. */
  const WAITS: Readonly<Record<string, string>> = {
    "a timer": "await sleep(300)",
    "a timer far away": "await sleep(1e6)",
    "a host function": "await gate()",
    "whoever is first": "await Promise.race([gate(), sleep(300)])",
    "an interval": "await new Promise(() => setInterval(() => { total = 3000 }, 300))",
    "its client": "for (;;) await emit(0)",
  };
  const late = "total = 4000; tell('late')";

  const cases = Object.entries(WAITS).flatMap(([what, wait]) =>
    (["TIMEOUT", "CANCELLED"] as const).map((reason) => [what, reason, wait] as const),
  );

  test.each(cases)("for %s, with %s, never goes on: not its finally, not its timers", async (_what, reason, wait) => {
    const other = session.execute("await gate(); await sleep(1); inc(10)");
    const code = `
      inc(1);
      setTimeout(() => { ${late} }, 350);
      queueMicrotask(() => inc(1));
      try { ${wait}; ${late} } catch { ${late} } finally { ${late} }`;
    const requestId = crypto.randomUUID();
    const stream = session.stream(code, { requestId, ...(reason === "TIMEOUT" ? { timeout: 80 } : {}) });
    if (reason === "CANCELLED") {
      await session.execute("0");
      await session.execute("await sleep(1)");
      await stream.return?.();
    }
    // Read late, or not at all: whoever emits waits.
    const error = await session.execute(code, { requestId }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason, undone: false });
    await stream.execution().catch(() => undefined);
    // Its first turn stands, the other goes on, and what it waited for comes for nobody.
    open();
    expect(await other).toBe(19);
    await session.execute("await sleep(400)");
    expect(await session.execute("total")).toBe(19);
    expect(told).toEqual([]);
  });

  test("in a session that is deleted ends with it", async () => {
    const doomed = await served.client.createSession();
    const running = doomed.execute("await new Promise((wake) => setTimeout(wake, 1e6))");
    const refused = running.catch((error: unknown) => error);
    await doomed.execute("0");
    await served.client.attach(doomed.id).delete();
    expect(await refused).toMatchObject({ code: "ABORTED", reason: "SESSION_DELETED" });
  });
});
