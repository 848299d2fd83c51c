/** Each limit of the contract, below, at and above its bound; and what stands for no limit, or for too much of one. */
import { status as Code } from "@grpc/grpc-js";
import {
  CreateSessionRequest,
  type CreateSessionResponse,
  Encoding,
  ExecuteRequest,
  type ExecuteResponse,
  StopReason,
  Limits as WireLimits,
} from "@livescope/proto";
import {
  type AllLimits,
  Handle,
  type Limits,
  Livescope,
  type LivescopeError,
  ResourceExhaustedError,
  type Session,
  StoppedError,
} from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";
import { type Clients, connectClients, send } from "./support/unary-client.js";

const served = withServer();
let client: Livescope;
let clients: Clients;
beforeAll(() => {
  client = served.client;
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());

const KIBIBYTE = 1 << 10;
const MEBIBYTE = 1 << 20;

/** How an execution ended, in one word or two. */
async function endingOf(execution: Promise<unknown>): Promise<unknown> {
  try {
    return await execution;
  } catch (error) {
    if (error instanceof StoppedError) return `${error.reason}${error.undone ? " undone" : ""}`;
    if (error instanceof ResourceExhaustedError) return `${error.reason}${(error.retryDelay ?? 0) > 0 ? " retry" : ""}`;
    return (error as LivescopeError).message;
  }
}

const spin = (ms: number): string => `const end = Date.now() + ${ms}; while (Date.now() < end); "done"`;
const sleep = (ms: number): string => `await new Promise((wake) => setTimeout(wake, ${ms})); "done"`;

describe("a limit", () => {
  /** What is done in a session of its own with so much of what is limited, and how that ends within the limit and beyond it. */
  interface Row {
    readonly name: string;
    readonly limits: Limits;
    /** Amounts within the limit; the last is all of it, where that can be told. */
    readonly within: readonly number[];
    readonly beyond: readonly number[];
    use(session: Session, amount: number): Promise<unknown>;
    readonly expect: { readonly within: unknown; readonly beyond: unknown };
  }

  const rows: Row[] = [
    {
      name: "memory_bytes",
      limits: { memoryBytes: 16 * MEBIBYTE },
      within: [1, 14],
      beyond: [17, 500],
      use: (session, amount) => session.execute(`used = 1; new ArrayBuffer(${amount * MEBIBYTE}); "done"`),
      expect: { within: "done", beyond: "MEMORY undone" },
    },
    {
      name: "timeout, of what runs",
      limits: { timeout: 1_500 },
      within: [10, 150],
      beyond: [60_000],
      use: (session, amount) => session.execute(`used = 1; ${spin(amount)}`),
      expect: { within: "done", beyond: "TIMEOUT undone" },
    },
    {
      name: "timeout, of what waits",
      limits: { timeout: 1_500 },
      within: [10, 150],
      beyond: [60_000],
      // Its first turn stands: what is undone is the turn that is stopped.
      use: (session, amount) => session.execute(sleep(amount)),
      expect: { within: "done", beyond: "TIMEOUT" },
    },
    {
      name: "cpu_time",
      limits: { cpuTime: 1_500 },
      within: [10, 150],
      beyond: [60_000],
      use: (session, amount) => session.execute(`used = 1; ${spin(amount)}`),
      expect: { within: "done", beyond: "CPU_TIME undone" },
    },
    {
      name: "value_bytes, as JSON",
      limits: { valueBytes: 1_000 },
      within: [0, 999, 1_000],
      beyond: [1_001, 1_000_000],
      use: async (session, amount) => {
        const request = ExecuteRequest.create({
          sessionId: session.id,
          code: `used = 1; "x".repeat(${amount - 2})`.replace("repeat(-2)", "repeat(0)"),
          encoding: Encoding.JSON,
        });
        const { execution } = await send<ExecuteRequest, ExecuteResponse>(
          clients.sandbox,
          clients.sandbox.execute,
          request,
        );
        const { outcome } = execution ?? {};
        if (outcome?.$case === "value") return "done";
        return `${outcome?.$case} ${outcome?.$case === "stopped" ? StopReason[outcome.value.reason] : ""} ${execution?.undone}`;
      },
      expect: { within: "done", beyond: "stopped VALUE_SIZE true" },
    },
    {
      name: "value_bytes, in full",
      limits: { valueBytes: 1_000 },
      within: [2, 999, 1_000],
      beyond: [1_001, 1_000_000],
      use: async (session, amount) => {
        const value = await session.execute(`"x".repeat(${amount - 2})`);
        return value instanceof Handle ? "handle" : String(value).length === amount - 2;
      },
      expect: { within: true, beyond: "handle" },
    },
    {
      name: "value_bytes, of bytes",
      limits: { valueBytes: 1_000 },
      within: [0, 999, 1_000],
      beyond: [1_001, 1_000_000],
      use: async (session, amount) => {
        const value = await session.execute(`new Uint8Array(${amount})`);
        return value instanceof Handle ? "handle" : (value as Uint8Array).length === amount;
      },
      expect: { within: true, beyond: "handle" },
    },
    {
      name: "handles",
      limits: { handles: 5 },
      within: [1, 4, 5],
      beyond: [6, 5_000],
      use: async (session, amount) => {
        const code = `used = 1; Array.from({ length: ${amount} }, () => () => 1)`;
        const ending = await endingOf(session.execute(code));
        if (!Array.isArray(ending)) return ending;
        await Promise.all((ending as Handle[]).map((handle) => handle.release()));
        return ending.length === amount;
      },
      expect: { within: true, beyond: "HANDLES undone" },
    },
    {
      name: "console_bytes",
      limits: { consoleBytes: 1_000 },
      within: [0, 999 - 32, 1_000 - 32],
      beyond: [1_001 - 32, 60_000],
      use: async (session, amount) => {
        const { console, consoleTruncated } = await session
          .execute(`console.log("x".repeat(${amount})); console.log("")`)
          .execution();
        const [entry] = console;
        // The empty entry behind it takes room too, so it is cut wherever there is none left.
        if (entry?.text === "x".repeat(amount)) return "kept";
        return [entry?.text.length, entry?.text.endsWith("…"), console.length, consoleTruncated].join();
      },
      expect: { within: "kept", beyond: `${1_000 - 32 + 1},true,1,true` },
    },
    {
      name: "queued_executions",
      limits: { queuedExecutions: 3 },
      within: [1, 2, 3],
      beyond: [4, 20],
      use: async (session, amount) => {
        const running = session.execute(spin(150));
        const waiting = await Promise.all(Array.from({ length: amount }, () => endingOf(session.execute("1"))));
        await running;
        const refused = waiting.filter((ending) => ending !== 1);
        expect(refused.length).toBe(Math.max(0, amount - 3));
        return refused[0] ?? "done";
      },
      expect: { within: "done", beyond: "QUEUE_FULL retry" },
    },
    {
      name: "the stack",
      limits: {},
      within: [1, 100, 500],
      beyond: [1e5, 1e9],
      use: (session, amount) =>
        session.execute(`
          let depth = 0;
          function down() { if (++depth < ${amount}) down() }
          try { down(); "done" } catch (error) { error.name + ": " + error.message }`),
      expect: { within: "done", beyond: "InternalError: stack overflow" },
    },
    {
      name: "calls from guest to host to guest",
      limits: {},
      within: [1, 15, 16],
      beyond: [17, 100],
      use: async (session, amount) => {
        await using _ = await session.expose({
          again: (left: number, { session: same }: { session: Session }) =>
            left === 0 ? "done" : same.execute(`await again(${left - 1})`),
        });
        return await endingOf(session.execute(`await again(${amount})`));
      },
      expect: {
        within: "done",
        beyond: "guest code and host functions call each other more than 16 levels deep",
      },
    },
  ];

  const cases = rows.flatMap((row) => [
    ...row.within.map((amount) => [row.name, "within", amount, row] as const),
    ...row.beyond.map((amount) => [row.name, "beyond", amount, row] as const),
  ]);

  test.each(cases)("%s: what is %s it, %d", async (_name, side, amount, row) => {
    await using session = await client.createSession({ limits: row.limits, setup: "let used = 0" });
    expect(await endingOf(row.use(session, amount))).toEqual(row.expect[side]);
    // What was undone left nothing, and the session goes on, by the same limits.
    if (String(row.expect[side]).endsWith("undone")) expect(await session.execute("used")).toBe(0);
    expect(await endingOf(row.use(session, row.within[0] as number))).toEqual(row.expect.within);
  });

  test("of memory is as exact as pages are: what fits and what does not lie one page apart", async () => {
    const limit = 8 * MEBIBYTE;
    const page = 64 * KIBIBYTE;
    const outcome = async (bytes: number): Promise<unknown> => {
      await using session = await client.createSession({ limits: { memoryBytes: limit } });
      const ending = await endingOf(session.execute(`globalThis.kept = new ArrayBuffer(${bytes}); "done"`));
      const { memoryBytes } = await session.info();
      expect(Number(memoryBytes)).toBeLessThanOrEqual(limit + page);
      return ending;
    };
    let [fits, fails] = [0, 16 * MEBIBYTE];
    while (fails - fits > page / 2) {
      const middle = Math.floor((fits + fails) / 2);
      if ((await outcome(middle)) === "done") fits = middle;
      else fails = middle;
    }
    expect(await outcome(fits)).toBe("done");
    expect(await outcome(fits + page)).toBe("MEMORY undone");
    // All but what the session itself began with.
    expect(limit - fits).toBeLessThan(512 * KIBIBYTE);
  });

  test("of memory counts what is kept, and not what was ever made", async () => {
    await using session = await client.createSession({ limits: { memoryBytes: 16 * MEBIBYTE } });
    // Cycles, which only the engine's collector finds: several times the limit of them, turn after turn.
    const garbage = "for (let i = 0; i < 2000; i++) { const a = { pad: new Array(64).fill(i) }; a.self = a } 0";
    for (let i = 0; i < (isLong ? 60 : 20); i++) expect(await session.execute(garbage)).toBe(0);
    expect(await session.execute("for (let i = 0; i < 3000; i++) new ArrayBuffer(65536); 'done'")).toBe("done");
  });

  describe("of memory is not passed by garbage of few and large blocks", () => {
    const MANY = {
      cycles: "{ const o = { big: new Uint8Array(1 << 20) }; o.self = o }",
      closures: "{ const big = new Uint8Array(1 << 20); const f = () => { f; return big } }",
      texts: "{ const o = { text: 'x'.repeat(100_000) + i }; o.self = o }",
      awaits:
        "{ const big = new Uint8Array(1 << 20); await new Promise((done) => { const f = () => { f; big }; done(f) }) }",
    };
    test.each(Object.entries(MANY))("within one turn: %s", async (_what, code) => {
      await using session = await client.createSession({ limits: { memoryBytes: 32 * MEBIBYTE } });
      await session.execute("const live = new Uint8Array(24 << 20)");
      expect(await session.execute(`for (let i = 0; i < 300; i++) ${code}; 'done'`)).toBe("done");
    });

    test("that came from the client", async () => {
      await using session = await client.createSession({ limits: { memoryBytes: 16 * MEBIBYTE } });
      await session.execute("function lose(bytes) { const o = { bytes }; o.self = o }");
      const bytes = new Uint8Array(MEBIBYTE);
      for (let i = 0; i < (isLong ? 50 : 24); i++) await session.call("lose", [bytes]);
      expect((await session.info()).memoryBytes).toBeLessThan(8 * MEBIBYTE);
    });
  });

  test("of the console counts over all turns and entries, however small, and never stops anything", async () => {
    await using session = await client.createSession({ limits: { consoleBytes: 10 * KIBIBYTE } });
    const code = `for (let turn = 0; turn < 20; turn++) {
      for (let i = 0; i < 100; i++) console.log("");
      await new Promise((wake) => setTimeout(wake, 1));
    } "done"`;
    const { value, console, consoleTruncated } = await session.execute(code).execution();
    expect([value, consoleTruncated]).toEqual(["done", true]);
    expect(console.length).toBe((10 * KIBIBYTE) / 32 + 1);
  });

  test("of an execution is the smaller one of its own and its session's", async () => {
    await using session = await client.createSession({ limits: { cpuTime: 1_000, valueBytes: 1_000 } });
    const run = (code: string, limits: Limits): Promise<unknown> => endingOf(session.execute(code, { limits }));
    expect(await run(spin(60_000), { cpuTime: 50_000 })).toBe("CPU_TIME undone");
    expect(await run(spin(600), { cpuTime: 20 })).toBe("CPU_TIME undone");
    expect(await run("'x'.repeat(2_000)", { valueBytes: 3_000 })).toBeInstanceOf(Handle);
    expect(await run("'x'.repeat(20)", { valueBytes: 10 })).toBeInstanceOf(Handle);
  });

  test("that belongs to the session is not changed by a request to run something", async () => {
    await using session = await client.createSession();
    const limits = WireLimits.fromPartial({ memoryBytes: 1n, handles: 1n, queuedExecutions: 1n });
    const request = ExecuteRequest.create({
      sessionId: session.id,
      code: "globalThis.big = new ArrayBuffer(1e6); [() => 1, () => 2]",
      encoding: Encoding.FULL,
      limits,
    });
    const answers = await Promise.all(
      Array.from({ length: 4 }, () =>
        send<ExecuteRequest, ExecuteResponse>(clients.sandbox, clients.sandbox.execute, request),
      ),
    );
    for (const { execution } of answers) expect(execution?.outcome?.$case).toBe("value");
  });

  test("holds in an execution without a session too", async () => {
    const execute = (code: string, limits: Partial<WireLimits>) => {
      const request = ExecuteRequest.create({ code, encoding: Encoding.JSON, limits: WireLimits.fromPartial(limits) });
      return send<ExecuteRequest, ExecuteResponse>(clients.sandbox, clients.sandbox.execute, request);
    };
    const reason = async (answer: ReturnType<typeof execute>): Promise<unknown> => {
      const outcome = (await answer).execution?.outcome;
      return outcome?.$case === "stopped" ? StopReason[outcome.value.reason] : outcome?.$case;
    };
    const memoryBytes = BigInt(8 * MEBIBYTE);
    expect(await reason(execute("new ArrayBuffer(4e6).byteLength", { memoryBytes }))).toBe("value");
    expect(await reason(execute("new ArrayBuffer(9e6).byteLength", { memoryBytes }))).toBe("MEMORY");
    expect(await reason(execute("'x'.repeat(20)", { valueBytes: 10n }))).toBe("VALUE_SIZE");
    expect(await reason(execute(spin(2_000), { cpuTime: { seconds: 0n, nanos: 1e8 } }))).toBe("CPU_TIME");
  });
});

describe("limits that a session asks for", () => {
  const COUNTS = ["memoryBytes", "consoleBytes", "valueBytes", "handles", "queuedExecutions"] as const;
  const SPANS = ["timeout", "cpuTime"] as const;
  type Name = (typeof COUNTS)[number] | (typeof SPANS)[number];

  const wire = (name: Name, amount: number): Partial<WireLimits> => {
    if ((COUNTS as readonly string[]).includes(name)) return { [name]: BigInt(amount) };
    return { [name]: { seconds: BigInt(Math.trunc(amount / 1000)), nanos: Math.round((amount % 1000) * 1e6) } };
  };
  const field = (name: Name): string => `limits.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;

  async function create(limits: Partial<WireLimits>): Promise<AllLimits> {
    const request = CreateSessionRequest.fromPartial({ limits });
    const { session } = await send<CreateSessionRequest, CreateSessionResponse>(
      clients.sessions,
      clients.sessions.createSession,
      request,
    );
    const attached = client.attach(session?.sessionId ?? "");
    const info = await attached.info();
    await attached.delete();
    return info.limits;
  }

  test("too large is told the maximum, with its unit", async () => {
    const refused = async (limits: Limits): Promise<string> => {
      const error = await client.execute("1", { limits }).catch((thrown: unknown) => thrown);
      return (error as LivescopeError).message;
    };
    expect(await refused({ timeout: 1e9 })).toBe("limits.timeout: is above this server's maximum of 600 s");
    expect(await refused({ cpuTime: 1e9 })).toBe("limits.cpu_time: is above this server's maximum of 60 s");
    expect(await refused({ memoryBytes: 1e12 })).toBe(
      "limits.memory_bytes: is above this server's maximum of 536870912 bytes",
    );
    expect(await refused({ handles: 1e9 })).toBe("limits.handles: is above this server's maximum of 100000");
  });

  test.each([...COUNTS, ...SPANS])(
    "%s: 0 is the default, the maximum is the most, and below 0 is nothing",
    async (name) => {
      const { defaultLimits, maximumLimits } = await client.serverInfo();
      for (const most of [defaultLimits[name], maximumLimits[name]]) {
        expect(most).toBeGreaterThan(0);
        expect(most).toBeLessThan(Number.MAX_SAFE_INTEGER);
      }
      expect((await create(wire(name, 0)))[name]).toBe(defaultLimits[name]);
      expect((await create(wire(name, 1)))[name]).toBe(1);
      expect((await create(wire(name, maximumLimits[name])))[name]).toBe(maximumLimits[name]);
      for (const wrong of [maximumLimits[name] + 1, -1]) {
        const error = await create(wire(name, wrong)).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT });
        expect((error as Error).message).toContain(field(name));
      }
    },
  );
});

describe("what requests in flight carry", () => {
  /** Has a server of its own that lets them carry so much. */
  async function carrying(maximumCarried: number, run: (others: Livescope) => Promise<void>): Promise<void> {
    const server = await startServer({ maximumCarried, workers: 1 });
    const others = await Livescope.connect(server.address);
    try {
      await run(others);
    } finally {
      await others.close();
      await server.close();
    }
  }

  test("is bounded for all sessions together, and comes free with their outcomes", () =>
    carrying(4 * MEBIBYTE, async (others) => {
      const [first, second] = [await others.createSession(), await others.createSession()];
      const held: ((result: number) => void)[] = [];
      await first.expose({ hold: () => new Promise<number>((resolve) => held.push(resolve)) });
      await first.execute("const wait = () => hold()");
      await second.execute("const sizeOf = (value) => value.length ?? value.byteLength");
      const text = "x".repeat(1.5 * MEBIBYTE);
      const waiting = [first.call("wait", [text]), first.call("wait", [Buffer.from(text)])];
      await expect.poll(() => held.length).toBe(2);
      for (const larger of [text, new Uint8Array(1.5 * MEBIBYTE)]) {
        expect(await endingOf(second.call("sizeOf", [larger]))).toBe("QUEUE_FULL retry");
      }
      expect(await endingOf(second.execute(`"${text}".length`))).toBe("QUEUE_FULL retry");
      expect(await endingOf(second.execute("more.length", { bindings: { more: text } }))).toBe("QUEUE_FULL retry");
      expect(await endingOf(second.execute("1", { locals: { more: text } }))).toBe("QUEUE_FULL retry");
      expect(await endingOf(second.render(text))).toBe("QUEUE_FULL retry");
      expect(await endingOf(others.createSession({ globals: { more: text } }))).toBe("QUEUE_FULL retry");
      expect(await endingOf(others.createSession({ setup: `"${text}"` }))).toBe("QUEUE_FULL retry");
      expect(await endingOf(others.execute(`"${text}".length`))).toBe("QUEUE_FULL retry");
      expect(await second.call("sizeOf", ["x".repeat(10_000)])).toBe(10_000);
      for (const end of held) end(1);
      expect(await Promise.all(waiting)).toEqual([1, 1]);
      // Whether it succeeds or fails, what ended is not counted.
      for (let i = 0; i < 4; i++) {
        expect(await second.call("sizeOf", [text])).toBe(text.length);
        await expect(second.execute(`throw new Error("${text}".at(0))`)).rejects.toThrow("x");
        await (await others.createSession({ modules: { more: `export const more = "${text}"` } })).delete();
        await expect(others.createSession({ setup: `throw new Error("${text}".at(0))` })).rejects.toThrow("x");
      }
    }));

  test("is bounded for many small ones as well, which have room where large ones have none", () =>
    carrying(MEBIBYTE, async (others) => {
      const first = await others.createSession();
      let end = (_: number): void => undefined;
      const held = new Promise<number>((answer) => {
        end = answer;
      });
      await first.expose({ hold: () => held });
      await first.execute("const wait = () => hold()");
      const small = "x".repeat(10_000);
      const waiting = Array.from({ length: 300 }, () => endingOf(first.call("wait", [small])));
      await expect.poll(async () => await endingOf(others.execute(`"${small}"`))).toBe("QUEUE_FULL retry");
      end(1);
      const endings = await Promise.all(waiting);
      const refused = endings.filter((ending) => ending === "QUEUE_FULL retry").length;
      expect([refused > 100, refused < 250]).toEqual([true, true]);
      expect(await others.execute(`"${small}".length`)).toBe(small.length);
    }));

  test("refuses no repeat, and nothing on behalf of an execution in flight", () =>
    carrying(MEBIBYTE, async (others) => {
      const text = "x".repeat(0.7 * MEBIBYTE);
      const code = `"${text}".length`;
      const made = { sessionId: "made", requestId: "creation", setup: `const size = ${code}` };
      const first = await others.createSession(made);
      expect(await first.execute(code, { requestId: "ended" })).toBe(text.length);
      let end = (_: number): void => undefined;
      const isHeld = new Promise<void>((resolve) => {
        void first.expose({
          nested: () => first.execute(code),
          hold: () => {
            resolve();
            return new Promise<number>((answer) => {
              end = answer;
            });
          },
        });
      });
      await expect.poll(() => first.execute("typeof hold")).toBe("function");
      const atomic = `(await nested()) + (await hold()) + ${code}`;
      const running = first.execute(atomic, { atomic: true, requestId: "running" });
      await Promise.race([isHeld, running]);
      expect(await endingOf(others.execute(code))).toBe("QUEUE_FULL retry");
      expect(await first.execute(code, { requestId: "ended" })).toBe(text.length);
      expect((await others.createSession(made)).id).toBe("made");
      const repeated = first.execute(atomic, { atomic: true, requestId: "running" });
      await first.info();
      end(1);
      expect(await Promise.all([running, repeated])).toEqual([2 * text.length + 1, 2 * text.length + 1]);
      expect(await others.execute(code)).toBe(text.length);
    }));

  test("may be more for one that is alone", () =>
    carrying(MEBIBYTE, async (others) => {
      expect(await others.execute(`"${"x".repeat(2 * MEBIBYTE)}".length`)).toBe(2 * MEBIBYTE);
    }));
});

describe("the number of sessions", () => {
  test("below, at and above --max-sessions", async () => {
    const server = await startServer({ maximumSessions: 3, maximumHibernated: 0, workers: 1 });
    await using few = await Livescope.connect(server.address);
    try {
      const sessions = [];
      for (let i = 0; i < 3; i++) sessions.push(await few.createSession());
      expect(await endingOf(few.createSession())).toBe("QUOTA_EXCEEDED retry");
      expect(await endingOf(few.execute("1"))).toBe("QUOTA_EXCEEDED retry");
      // Those that there are go on.
      expect(await sessions[0]?.execute("1")).toBe(1);
      await sessions.pop()?.delete();
      expect(await few.execute("1")).toBe(1);
      // Whoever was answered has given its place back.
      for (let i = 0; i < 100; i++) expect(await few.execute("1"), `execution ${i}`).toBe(1);
      await few.createSession();
      expect(await endingOf(few.createSession())).toBe("QUOTA_EXCEEDED retry");
    } finally {
      await server.close();
    }
  });
});

describe("the memory of all sessions together", () => {
  test("below, at and above --max-memory, and exact after whatever has happened", async () => {
    const server = await startServer({ maximumMemory: 32 * MEBIBYTE, maximumHibernated: 0, workers: 2 });
    const free = await Livescope.connect(server.address);
    const hold = (mebibytes: number): string =>
      `globalThis.held = new ArrayBuffer(${mebibytes * MEBIBYTE}); new Uint8Array(held).fill(1); "done"`;
    /** How many mebibytes a new session can hold beside all others. */
    const room = async (): Promise<number> => {
      await using session = await free.createSession();
      let most = 0;
      for (let mebibytes = 24; mebibytes <= 36; mebibytes++) {
        await session.execute("held = undefined").catch(() => undefined);
        if ((await endingOf(session.execute(`new ArrayBuffer(${mebibytes * MEBIBYTE}); "done"`))) === "done") {
          most = mebibytes;
        }
      }
      return most;
    };
    try {
      const before = await room();
      expect(before).toBeGreaterThan(28);
      expect(before).toBeLessThan(32);

      const first = await free.createSession();
      const second = await free.createSession();
      expect(await first.execute(hold(16))).toBe("done");
      expect(await second.execute(hold(8))).toBe("done");
      await second.execute("let n = 1");
      const refused = await second
        .execute(`n = 2; globalThis.more = new ArrayBuffer(${8 * MEBIBYTE})`)
        .catch((error: unknown) => error);
      expect(refused).toMatchObject({ reason: "MEMORY", undone: true });
      expect((refused as Error).message).toContain("--max-memory");
      // Its own limit is another matter, and the refused session is as it was.
      expect(await second.execute("[n, held.byteLength]")).toEqual([1, 8 * MEBIBYTE]);

      const sessions: Session[] = [];
      let refusal: unknown;
      while (refusal === undefined && sessions.length < 100) {
        await free.createSession().then(
          (session) => void sessions.push(session),
          (error: unknown) => {
            refusal = error;
          },
        );
      }
      expect(refusal).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "QUOTA_EXCEEDED", retryDelay: 1_000 });
      expect((refusal as Error).message).toContain("--max-memory");
      expect(await endingOf(free.execute("1"))).toBe("QUOTA_EXCEEDED retry");
      await first.delete();
      expect(await free.execute("1")).toBe(1);
      expect(await endingOf(second.execute(hold(8)))).toBe("done");
      for (const session of [second, ...sessions]) await session.delete();

      // Growth that was undone, killed, trapped, or deleted while it went on counts for nothing afterwards.
      for (const ending of [
        "for (;;);",
        "new Array(1e9) + ''",
        "globalThis.a = []; for (;;) a.push(new Array(1e4).fill(1))",
      ]) {
        await using session = await free.createSession({ limits: { timeout: 300 } });
        expect(await endingOf(session.execute(`${hold(10)}; ${ending}`))).toMatch(/^(TIMEOUT|MEMORY) undone$/);
        const deleted = await free.createSession();
        const running = endingOf(deleted.execute(`${hold(10)}; ${ending}`));
        await new Promise((resolve) => setTimeout(resolve, 50));
        await deleted.delete();
        await running;
      }
      expect(await room()).toBe(before);
    } finally {
      await free.close();
      await server.close();
    }
  });

  // Each way has another code, and each takes seconds.
  test.runIf(isLong).each(["made of a snapshot", "copied", "put back"])(
    "is not exceeded by sessions that are %s, however many at once, and nothing of it is lost",
    { timeout: 120_000 },
    async (way) => {
      const server = await startServer({ maximumMemory: 96 * MEBIBYTE, maximumHibernated: 0, workers: 1 });
      const client = await Livescope.connect(server.address);
      const HOLD = `globalThis.held = new ArrayBuffer(${16 * MEBIBYTE}); new Uint8Array(held).fill(1); "done"`;
      const fresh = async (): Promise<number> => {
        const made: Session[] = [];
        const refused = await endingOf(
          (async () => {
            for (;;) made.push(await client.createSession());
          })(),
        );
        expect(refused).toBe("QUOTA_EXCEEDED retry");
        await Promise.all(made.map((session) => session.delete()));
        return made.length;
      };
      try {
        const before = await fresh();
        const asks: (() => Promise<unknown>)[] = [];
        if (way === "put back") {
          for (let i = 0; i < 10; i++) {
            const session = await client.createSession();
            const small = await session.snapshot();
            await session.execute(HOLD);
            const large = await session.snapshot();
            await session.rollback(small);
            asks.push(() => session.rollback(large));
          }
        } else {
          const session = await client.createSession();
          await session.execute(HOLD);
          const large = await session.snapshot();
          for (let i = 0; i < 10; i++) {
            asks.push(() => (way === "copied" ? session.fork(2) : client.createSession({ from: large })));
          }
        }
        const endings = await Promise.all(asks.map((ask) => endingOf(ask())));
        expect(endings).toContain("QUOTA_EXCEEDED retry");
        const ids: string[] = [];
        let held = 0;
        for await (const { sessionId, memoryBytes } of client.listSessions()) {
          ids.push(sessionId);
          held += memoryBytes;
        }
        expect(held).toBeGreaterThan(48 * MEBIBYTE);
        expect(held).toBeLessThan(96 * MEBIBYTE);
        await Promise.all(ids.map((id) => client.attach(id).delete()));
        expect(await fresh()).toBe(before);
      } finally {
        await client.close();
        await server.close();
      }
    },
  );

  test("has a default of its own, which the limits of a session do not show", async () => {
    const { defaultLimits } = await client.serverInfo();
    expect(defaultLimits.memoryBytes).toBe(64 * MEBIBYTE);
  });
});
