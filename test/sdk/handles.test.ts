import {
  DisposedError,
  GuestError,
  Handle,
  InvalidRequestError,
  type Livescope,
  NotFoundError,
  type Session,
} from "@livescope/sdk";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connect, withServer } from "../support/server.js";
import { Wire } from "../support/wire-to-server.js";

const served = withServer();
let client: Livescope;
let session: Session;
beforeAll(() => {
  client = served.client;
});

beforeEach(async () => {
  session = await client.createSession({
    setup: `
      let total = 0;
      function inc(n) { return total += n }
      class Counter {
        constructor(start) { this.n = start }
        up(by = 1) { return this.n += by }
      }
    `,
  });
});

afterEach(async () => {
  await session?.[Symbol.asyncDispose]();
});

const handleCount = async (): Promise<number> => (await session.info()).handleCount;

describe("a handle", () => {
  it("is what a function comes as", async () => {
    await using inc = await session.execute<Handle>("inc");
    expect(inc).toBeInstanceOf(Handle);
    expect(inc).toMatchObject({ type: "function", arity: 1, released: false });
    expect(inc.preview).toContain("inc");
    expect([await inc.call([5]), await inc.call([2]), await session.execute("total")]).toStrictEqual([5, 7, 7]);
    await session.execute("total = 100");
    expect(await inc.fn<[number], number>()(1)).toBe(101);
  });

  it("is what anything comes as, if asked for", async () => {
    await using point = await session.handle("globalThis.p = { x: 1, tags: ['a'], 'odd key': { deep: true } }");
    expect(point).toMatchObject({ type: "object", className: "Object" });
    expect(await point.get("x")).toBe(1);
    expect(await point.get("tags.0")).toBe("a");
    expect(await point.get("odd key.deep")).toBe(true);
    expect(await point.get("nothing")).toBeUndefined();
    await expect(point.get("nothing.more")).rejects.toThrow(GuestError);
    expect(await point.value()).toStrictEqual({ x: 1, tags: ["a"], "odd key": { deep: true } });
    await using text = await session.handle("'text'");
    expect(await text.value()).toBe("text");
  });

  it("constructs, and calls methods with their this", async () => {
    await using Counter = await session.handle("Counter");
    await using counter = await Counter.construct([10]);
    expect(counter.className).toBe("Counter");
    expect(await counter.callMethod("up")).toBe(11);
    expect(await counter.callMethod("up", [4])).toBe(15);
    expect(await counter.get("n")).toBe(15);
    await expect(counter.call()).rejects.toMatchObject({ guestName: "TypeError" });
  });

  it("goes back into its session as what it stands for", async () => {
    await using point = await session.handle("globalThis.p = { x: 1 }");
    await session.execute("function same(value) { return value === p }");
    expect(await session.call("same", [point])).toBe(true);
    expect(await session.execute("q === p", { bindings: { q: point } })).toBe(true);
  });

  it("of a promise waits only when it is asked to", async () => {
    await using promise = await session.handle("new Promise((resolve) => { globalThis.settle = resolve })");
    expect(promise.type).toBe("promise");
    await session.execute("settle({ a: 1 })");
    expect(await promise.value()).toStrictEqual({ a: 1 });
  });

  it("means nothing in another session", async () => {
    await using other = await client.createSession({ setup: "let ran = false; function f() { ran = true }" });
    await using inc = await session.handle("inc");
    await expect(other.call("f", [inc])).rejects.toMatchObject({ code: "NOT_FOUND", reason: "HANDLE_NOT_FOUND" });
    await expect(other.call("f", [inc])).rejects.toThrow(NotFoundError);
    expect(await other.execute("ran")).toBe(false);
  });

  it("can be looked into without running anything", async () => {
    const code = "({ n: 1, s: 'x', none: null, list: [1, 2], get g() { throw new Error('ran') }, f() {} })";
    await using object = await session.handle(code);
    const { preview, properties, truncated } = await object.inspect();
    expect(preview.type).toBe("object");
    expect(truncated).toBe(false);
    expect(properties.map(({ name, type, accessor, value }) => [name, type, accessor, value])).toStrictEqual([
      ["n", "number", false, 1],
      ["s", "string", false, "x"],
      ["none", "null", false, null],
      ["list", "array", false, undefined],
      ["g", "", true, undefined],
      ["f", "function", false, undefined],
    ]);
    expect((await object.inspect("list")).properties.map(({ name }) => name)).toContain("0");
    expect(await object.inspect("", { maxProperties: 2 })).toMatchObject({
      properties: { length: 2 },
      truncated: true,
    });
    await expect(object.inspect("g.x")).rejects.toThrow(InvalidRequestError);
    expect((await session.inspect("total")).preview).toMatchObject({ type: "number", preview: "0" });
  });
});

describe("handles are let go", () => {
  it("with their last reference", async () => {
    const before = await handleCount();
    const first = await session.handle("inc");
    const second = await session.execute<Handle>("inc");
    expect(second).toBe(first);
    expect(await handleCount()).toBe(before + 1);
    await first.release();
    expect(await second.call([1])).toBe(1);
    await second.release();
    expect(await handleCount()).toBe(before);
    await expect(first.call([1])).rejects.toThrow("released");
  });

  it("by one session object and not by another's", async () => {
    await using attached = client.attach(session.id);
    const theirs = await attached.handle("inc");
    {
      await using mine = await session.handle("inc");
      expect(mine.id).not.toBe(theirs.id);
    }
    expect(await theirs.call([3])).toBe(3);
  });

  it("under many hands at once, and never too early", async () => {
    const work = async (): Promise<void> => {
      for (let round = 0; round < 20; round++) {
        await using inc = await session.handle("inc");
        await inc.call([1]);
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    expect(await session.execute("total")).toBe(160);
    // What was let go while others worked is told once they have ended.
    await expect.poll(handleCount).toBe(0);
  });
});

it("a call that waits for a release is not overtaken by one that is made after it", async () => {
  await session.execute("const log = []; function note(mark) { log.push(mark) }");
  for (let i = 0; i < 5; i++) {
    const handle = await session.handle("({})");
    const released = handle.release();
    const first = session.call("note", ["first"]);
    await released;
    await Promise.all([first, session.call("note", ["second"])]);
  }
  expect(await session.execute("log.splice(0)")).toStrictEqual(Array(5).fill(["first", "second"]).flat());
});

describe("a call that waits for a release which nobody answers", () => {
  let wire: Wire;
  let released: Promise<unknown>;
  let behind: Livescope;
  let stalled: Session;
  beforeEach(async () => {
    wire = new Wire(served.server.address);
    behind = await connect(await wire.open());
    stalled = await behind.createSession();
    const handle = await stalled.handle("({})");
    wire.stall();
    released = handle.release();
  });
  afterEach(async () => {
    wire.goOn();
    await released;
    await behind.close();
    wire.close();
  });
  /** How it ends, if it ends before the release has. */
  const endOf = (call: Promise<unknown>): Promise<unknown> =>
    Promise.race([call.catch((error: unknown) => error), released.then(() => "the release was answered first")]);

  it("obeys its signal", async () => {
    const controller = new AbortController();
    const call = endOf(stalled.execute("1", { signal: controller.signal }));
    const reason = new Error("not wanted any more");
    setTimeout(() => controller.abort(reason), 10);
    expect(await call).toBe(reason);
  });

  it("obeys its timeout", async () => {
    expect(await endOf(stalled.execute("1", { timeout: 10 }))).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });

  it("ends with its session object", async () => {
    const call = endOf(stalled.execute("1"));
    setTimeout(() => void stalled[Symbol.asyncDispose]().catch(() => undefined), 10);
    expect(await call).toBeInstanceOf(DisposedError);
  });

  it("is run when the release is answered after all", async () => {
    const call = stalled.execute("1 + 1", { signal: new AbortController().signal, timeout: 4_000 });
    setTimeout(() => wire.goOn(), 10);
    expect(await call).toBe(2);
  });
});
