/** What cannot be copied stays in its session and comes as a handle, alone and inside other values. */
import { Encoding, ExecuteRequest, SandboxServiceService as Sandbox } from "@livescope/proto";
import { GuestError, Handle, NotFoundError, Preview, type Session, StoppedError } from "@livescope/sdk";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RawConnection } from "./support/raw-http2.js";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession({ setup: "function identity(value) { return value }" });
});
afterEach(() => session[Symbol.asyncDispose]());

describe("what cannot be copied", () => {
  const LIVE: readonly [string, string, string][] = [
    ["a function", "function named(a, b) {}; named", "function"],
    ["a class", "(class { constructor() { throw 1 } })", "function"],
    ["a symbol", "Symbol('s')", "symbol"],
    ["an iterator", "new Map().entries()", "object"],
    ["a generator", "(function* () { yield 1 })()", "object"],
    ["an async generator", "(async function* () { yield 1 })()", "object"],
    [
      "a proxy",
      "new Proxy({ a: 1 }, { get() { throw 1 }, ownKeys() { throw 2 }, getPrototypeOf() { throw 3 } })",
      "object",
    ],
    ["a proxy of a function", "new Proxy(() => 1, {})", "function"],
    ["a weak map", "new WeakMap()", "object"],
    ["a weak set", "new WeakSet()", "object"],
    ["a weak reference", "new WeakRef({})", "object"],
    ["the global object", "globalThis", "object"],
    ["a detached buffer", "const b = new ArrayBuffer(8); b.transfer(); b", "arraybuffer"],
  ];

  test("is held by its sign, too, where it is zero", async () => {
    await using zero = await session.handle("0");
    await using negative = await session.handle("-0");
    expect([await zero.value(), await negative.value(), negative.preview]).toEqual([0, -0, "-0"]);
    expect(await session.handle("-0")).toBe(negative);
    await negative.release();
    await negative.release();
    await using later = await session.handle("-0");
    expect([await later.value(), later === negative]).toEqual([-0, false]);
  });

  test.each(LIVE)("comes as a handle, and as one inside other values: %s", async (_, code, type) => {
    await session.execute(`var live = (0, eval)(${JSON.stringify(code)})`);
    await using direct = await session.execute<Handle>("live");
    expect(direct).toBeInstanceOf(Handle);
    expect(direct.type).toBe(type);
    const [inside, again, data] = await session.execute<[Handle, Handle, Date]>("[live, live, new Date(1)]");
    expect(inside).toBe(direct);
    expect(again).toBe(direct);
    expect(data).toStrictEqual(new Date(1));
    expect(await session.call("Object.is", [inside, direct])).toBe(true);
    const sent = { deep: new Map([["k", [inside, inside]]]), plain: 1 };
    const held = "o.deep.get('k').every((item) => Object.is(item, live))";
    expect(await session.execute(held, { bindings: { o: sent } })).toBe(true);
    expect(await session.call<typeof sent>("identity", [sent])).toStrictEqual(sent);
    await inside.release();
    await inside.release();
    await inside.release();
  });

  test("is a promise inside a value, and the value of one that stands alone", async () => {
    expect(await session.execute("Promise.resolve(new Date(2))")).toStrictEqual(new Date(2));
    const { p } = await session.execute<{ p: Handle }>("({ p: Promise.resolve(3n) })");
    expect(p.type).toBe("promise");
    expect(await p.value()).toBe(3n);
  });

  test("is called back through the handle that came inside", async () => {
    const { add, total } = await session.execute<{ add: Handle; total: bigint }>(
      "let total = 0n; ({ add: (n) => total += n, total })",
    );
    expect(await add.call([5n])).toBe(5n);
    expect(total).toBe(0n);
    await add.release();
    await expect(add.call([1n])).rejects.toThrow("released");
  });

  test("is a preview without a session", async () => {
    const value = await served.client.execute<[Preview, bigint]>("[function gone() {}, 1n]");
    expect(value[0]).toBeInstanceOf(Preview);
    expect(value[0]).not.toBeInstanceOf(Handle);
    expect(value).toMatchObject([{ type: "function", preview: "[Function: gone]" }, 1n]);
  });

  test("is refused on its way in, by its place", async () => {
    await expect(session.call("identity", [{ list: [() => 1] }])).rejects.toThrow("args[0].list[0] is a function");
    await expect(session.execute("1", { bindings: { b: new Map([["k", Symbol("s")]]) } })).rejects.toThrow(
      "bindings.b(k) is a symbol",
    );
  });

  test("of another session is not found, and nothing runs", async () => {
    const other = await served.client.createSession();
    const handle = await other.handle("(() => 1)");
    await session.execute("var ran = 0; function mark() { ran++ }");
    // The SDK of the one session does not know that the handle is not its own.
    await expect(session.call("mark", [{ deep: [handle, undefined] }])).rejects.toThrow(NotFoundError);
    await expect(session.call("mark", [], {})).resolves.toBeUndefined();
    expect(await session.execute("ran")).toBe(1);
    await other[Symbol.asyncDispose]();
  });
});

describe("a value over value_bytes", () => {
  test("stays behind as a handle, and nothing in it does", async () => {
    await using small = await served.client.createSession({ limits: { valueBytes: 1_000 } });
    for (const code of [
      "'x'.repeat(1001)",
      "[undefined, 'x'.repeat(1000), () => 1]",
      "[() => 1, 1n, 'é'.repeat(490)]",
      "new Uint8Array(1001)",
      "[new Uint8Array(800)]",
      "[Array.from({ length: 500 }, () => 1n), () => 1]",
    ]) {
      await using handle = await small.execute<Handle>(`(${code})`);
      expect(handle, code).toBeInstanceOf(Handle);
      expect((await small.info()).handleCount).toBe(1);
    }
    expect(await small.execute("new Uint8Array(1000)")).toHaveLength(1000);
    expect(await small.execute("'x'.repeat(998)")).toHaveLength(998);
  });

  test("stops where the encoding forbids a handle", async () => {
    const connection = new RawConnection(served.server.address);
    const request = {
      sessionId: session.id,
      code: "'x'.repeat(2000)",
      encoding: Encoding.JSON,
      limits: { valueBytes: 1000n },
    };
    const { execution } = await connection.ask(Sandbox.execute, ExecuteRequest.fromPartial(request));
    expect(execution?.outcome).toMatchObject({ $case: "stopped", value: { reason: 4 } });
    connection[Symbol.dispose]();
  });
});

describe("what guest code does while it is encoded", () => {
  test("ends the execution with what it throws", async () => {
    const error = await session
      .execute("({ u: undefined, get a() { throw new RangeError('no') } })")
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({ guestName: "RangeError", phase: "ENCODE" });
  });

  test("counts against its limits", async () => {
    const error = await session.execute("({ get a() { for (;;); } })", { timeout: 200 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(StoppedError);
    expect(await session.execute("1")).toBe(1);
  });
});

describe("what is thrown and is no error", () => {
  const thrownBy = async (code: string): Promise<unknown> => {
    const error = await session.execute(code).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(GuestError);
    expect((error as GuestError).guestName).toBe("");
    return (error as GuestError).thrown;
  };

  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["0", 0],
    ["NaN", Number.NaN],
    ["-5n", -5n],
    ["'\\ud800'", "\ud800"],
    ["({ at: [new Date(0), undefined] })", { at: [new Date(0), undefined] }],
    ["new Uint8Array([1, 2])", new Uint8Array([1, 2])],
    ["(() => { const o = {}; return [o, o] })()", [{}, {}]],
  ])("comes as it is: %s", async (code, value) => {
    expect(await thrownBy(`throw ${code}`)).toStrictEqual(value);
    expect(await thrownBy(`Promise.reject(${code})`)).toStrictEqual(value);
  });

  test.each([
    ["Promise.resolve(1)", "promise"],
    ["Symbol('s')", "symbol"],
    ["() => 1", "function"],
    ["new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 }, ownKeys() { throw 3 } })", "object"],
    ["globalThis", "object"],
  ])("comes as a handle where it cannot be copied: %s", async (code, type) => {
    const thrown = await thrownBy(`throw ${code}`);
    expect(thrown).toBeInstanceOf(Handle);
    expect((thrown as Handle).type).toBe(type);
    await (thrown as Handle).release();
    expect((await session.info()).handleCount).toBe(0);
  });

  test("is not told where telling it throws", async () => {
    expect(await thrownBy("throw { get a() { throw 1 } }")).toBeUndefined();
  });
});
