import { GuestError, Handle, type Livescope, type Session, StoppedError } from "@livescope/sdk";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { withServer } from "../support/server.js";

const served = withServer();
let client: Livescope;
let session: Session;
beforeAll(() => {
  client = served.client;
});

beforeEach(async () => {
  session = await client.createSession({
    setup: `
      let made = 0;
      function* count(n) { for (; made < n; made++) yield made; return 'end' }
      const counter = { step: 10, *up(n) { for (let i = 1; i <= n; i++) yield i * this.step } };
    `,
  });
});

afterEach(async () => {
  await session?.[Symbol.asyncDispose]();
});

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of stream) values.push(value);
  return values;
}

describe("a stream", () => {
  it("gives what is emitted and yielded, in order, and then the execution", async () => {
    const stream = session.stream<unknown, string>("emit(1); await emit({ x: [2] }); count(40)");
    const values = await all(stream);
    expect(values).toStrictEqual([1, { x: [2] }, ...Array.from({ length: 40 }, (_, i) => i)]);
    const { value, usage } = await stream.execution();
    expect(value).toBe("end");
    expect(usage.turns).toBeGreaterThan(1);
    expect(await all(stream)).toStrictEqual([]);
  });

  it("comes from calls by path, of handles, and of their methods", async () => {
    expect(await all(session.callStream("counter.up", [2]))).toStrictEqual([10, 20]);
    await using count = await session.handle("count");
    expect(await all(count.callStream([2]))).toStrictEqual([0, 1]);
    await using counter = await session.handle("counter");
    expect(await all(counter.callMethodStream("up", [1]))).toStrictEqual([10]);
    expect(await all(client.stream("(function* () { yield 'alone' })()"))).toStrictEqual(["alone"]);
  });

  it("runs no further ahead than some values", async () => {
    const stream = session.stream<number>("count(10_000)");
    for await (const value of stream) {
      if (value % 50 !== 49) continue;
      // Run leaves more to the buffers of the transport.
      expect((await session.execute<number>("made")) - value).toBeLessThan(1_000);
      if (value > 300) break;
    }
  });

  it("ends its execution when the loop is left", async () => {
    const stream = session.stream<number>("for (;;) { await emit(made++) }", { timeout: 60_000 });
    for await (const value of stream) if (value === 5) break;
    const failure = await stream.execution().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoppedError);
    expect(failure).toMatchObject({ reason: "CANCELLED" });
    const left = await session.execute("made");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await session.execute("made")).toBe(left);
  });

  it("ends it also before anything came", async () => {
    const stream = session.stream("await new Promise(() => setTimeout(() => {}, 60_000))");
    const failure = stream.execution().catch((error) => error);
    await stream.return();
    expect(await failure).toBeInstanceOf(StoppedError);
    expect(await failure).toMatchObject({ reason: "CANCELLED" });
  });

  it("ends it also in the tick in which it began", async () => {
    const code = "await new Promise((resolve) => setTimeout(resolve, 200)); made = 7";
    await session.stream(code).return();
    const aborting = new AbortController();
    const aborted = session.stream(code, { signal: aborting.signal }).execution();
    aborting.abort(new Error("not needed"));
    await expect(aborted).rejects.toThrow("not needed");
    await session.execute("await new Promise((resolve) => setTimeout(resolve, 400))");
    expect(await session.execute("made")).toBe(0);
  });

  it("fails where it is read, after what came before", async () => {
    const stream = session.stream("(function* () { yield 1; yield 2; throw new TypeError('no') })()");
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const value of stream) seen.push(value);
    })();
    await expect(reading).rejects.toThrow(GuestError);
    expect(seen).toStrictEqual([1, 2]);
    await expect(stream.execution()).rejects.toMatchObject({ guestName: "TypeError" });
    await expect(all(client.attach("nobody").stream("1"))).rejects.toMatchObject({ reason: "SESSION_NOT_FOUND" });
  });

  it("ends with the reason of its signal", async () => {
    const abort = new AbortController();
    const stream = session.stream<number>("for (;;) { await emit(made++) }", { signal: abort.signal });
    const reading = (async () => {
      for await (const value of stream) if (value === 3) abort.abort(new Error("enough"));
    })();
    await expect(reading).rejects.toThrow("enough");
    const isStill = async (): Promise<boolean> => {
      const before = await session.execute("made");
      await new Promise((resolve) => setTimeout(resolve, 30));
      return before === (await session.execute("made"));
    };
    await expect.poll(isStill).toBe(true);
  });

  it("gives handles of what cannot be copied, and lets go of those that nobody took", async () => {
    const stream = session.stream<Handle>("(function* () { for (let i = 0; i < 5; i++) yield () => i })()");
    for await (const handle of stream) {
      expect(handle).toBeInstanceOf(Handle);
      expect(await handle.call()).toBe(0);
      await handle.release();
      break;
    }
    await expect.poll(async () => (await session.info()).handleCount).toBe(0);
  });
});

describe("the console", () => {
  it("is told while the code runs, and stands in the execution as well", async () => {
    const told: string[] = [];
    const running = session
      .execute("console.log('a'); await new Promise((resolve) => setTimeout(resolve, 300)); console.warn('b'); 5", {
        onConsole: ({ level, text }) => told.push(`${level} ${text}`),
      })
      .execution();
    await expect.poll(() => told, { timeout: 5_000 }).toStrictEqual(["log a"]);
    const { value, console } = await running;
    expect(value).toBe(5);
    expect(told).toStrictEqual(["log a", "warn b"]);
    expect(console.map(({ text }) => text)).toStrictEqual(["a", "b"]);
  });

  it("is told of calls and streams, and changes nothing else about them", async () => {
    const told: string[] = [];
    const onConsole = ({ text }: { text: string }): void => void told.push(text);
    await using generator = await session.execute<Handle>("console.log(1); emit('nowhere'); count(3)", { onConsole });
    expect(generator).toBeInstanceOf(Handle);
    await session.execute("function say(text) { console.log(text) }");
    await session.call("say", ["called"], { onConsole });
    const stream = session.stream("console.log('streamed'); count(2)", { onConsole });
    expect(await all(stream)).toStrictEqual([0, 1]);
    expect(told).toStrictEqual(["1", "called", "streamed"]);
    const failed = session.execute("console.log('before'); throw 1", { onConsole });
    await expect(failed).rejects.toMatchObject({ console: [{ text: "before" }] });
  });
});
