/** Long strings go in and come out as they are, wherever they stand and however they are made: the host reads and writes their JSON text. */
import {
  CallRequest,
  type CallResponse,
  Encoding,
  ExecuteRequest,
  type ExecuteResponse,
  type Execution,
  type Value,
} from "@livescope/proto";
import { GuestError, Handle, type Session } from "@livescope/sdk";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";
import { type Clients, connectClients, send } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;
let session: Session;

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
beforeEach(async () => {
  session = await served.client.createSession({ setup: "function identity(value) { return value }" });
});
afterEach(() => session[Symbol.asyncDispose]());

/** One from around where a string counts as long, and some that are. */
const LENGTHS = [252, 253, 254, 255, 256, 257, 1_000, 100_000];

const STRINGS: readonly [what: string, part: string][] = [
  ["ASCII", "a"],
  ["quotes, backslashes and ends of lines", '"\\\n\r\t/'],
  ["control characters", "\u0001\u001f\u007f"],
  ["Latin-1", "éÿ"],
  ["ends of lines that JSON knows nothing of", "x\u2028\u2029"],
  ["a byte order mark", "\ufeffx"],
  ["other scripts", "日本語"],
  ["astral characters", "\u{1f600}x\u{10ffff}"],
  ["NUL", "ab\0"],
  ["lone surrogates", "\ud800x\udfff"],
  // What a reader of UTF-8 makes of a lone surrogate is three characters: as long as this whole.
  ["lone surrogates and NUL", "\ud800\0x"],
  ["what looks like numbers of effects", "1,2,6\n"],
];

describe.each(STRINGS)("%s", (_what, part) => {
  test.each(LENGTHS)("%i units", async (length) => {
    const string = part.repeat(Math.ceil(length / part.length)).slice(0, length);
    const code = `${JSON.stringify(part)}.repeat(${Math.ceil(length / part.length)}).slice(0, ${length})`;
    expect(await session.call("identity", [string])).toBe(string);
    expect(await session.execute(`value === ${code}`, { bindings: { value: string } })).toBe(true);
    expect(await session.execute(code)).toBe(string);
    expect(await session.call("identity", [[string, { [string]: string }]])).toEqual([string, { [string]: string }]);
  });
});

describe("a long string comes through", () => {
  const long = `${"é\n\u{1f600}".repeat(300)}"`;

  test("among others, before and after what is none", async () => {
    const args = [long, 1, "short", `${long}2`, [long], "", `${long}3`];
    await session.execute("function all(...values) { return values }");
    expect(await session.call("all", args)).toEqual(args);
    // More numbers than the cells hold.
    const many = Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? i : `${long}${i}`));
    expect(await session.call("all", many)).toEqual(many);
  });

  test("as global, as local, and as result of calls at once", async () => {
    await using other = await served.client.createSession({ globals: { text: long } });
    expect(await other.execute("text")).toBe(long);
    expect(await session.execute("locals.text + 1", { locals: { text: long } })).toBe(`${long}1`);
    const numbers = Array.from({ length: 40 }, (_, i) => i);
    const results = await Promise.all(numbers.map((i) => session.call("identity", [`${long}${i}`])));
    expect(results).toEqual(numbers.map((i) => `${long}${i}`));
  });

  test("to functions of the client and back", async () => {
    await session.expose({ twice: (text: string) => text + text });
    expect(await session.execute("await twice(text)", { bindings: { text: long } })).toBe(long + long);
  });

  test("when it is thrown", async () => {
    const error = await session.execute(`throw ${JSON.stringify(long)}`).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GuestError);
    expect((error as GuestError).thrown).toBe(long);
  });

  test("when it is emitted, also after it has waited", async () => {
    const stream = session.stream("(function* () { for (let i = 0; i < 60; i++) yield text + i; return text })()", {
      bindings: { text: long },
    });
    const taken: unknown[] = [];
    for await (const value of stream) {
      taken.push(value);
      if (taken.length < 3) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(taken).toEqual(Array.from({ length: 60 }, (_, i) => `${long}${i}`));
    expect((await stream.execution()).value).toBe(long);
  });

  test("when more is emitted than one turn may bring out by the host", async () => {
    const part = "x\n".repeat(500_000);
    const stream = session.stream("for (let i = 0; i < 14; i++) emit(text + i); 1", { bindings: { text: part } });
    const taken: unknown[] = [];
    for await (const value of stream) taken.push(value);
    expect(taken.every((value, i) => value === `${part}${i}`)).toBe(true);
    expect(taken).toHaveLength(14);
  });

  test("as text of a template", async () => {
    const text = long.replaceAll('"', "");
    expect(await session.render("{{ text }}{{ text }}", { text })).toBe(text + text);
  });

  test("whatever guest code made of strings", async () => {
    await session.execute(`
      String.prototype.isWellFormed = () => true; String.prototype.indexOf = () => -1;
      String.prototype.toJSON = () => "mine"; JSON.stringify = JSON.parse = () => { throw 1 };
      Object.defineProperty(String.prototype, "length", { get: () => 1 })`);
    expect(await session.call("identity", [long])).toBe(long);
    expect(await session.call("identity", [`\ud800${long}\0`])).toBe(`\ud800${long}\0`);
  });
});

describe("what is told of a long string by unary RPC", () => {
  const call = async (value: Value, encoding: Encoding, valueBytes = 0): Promise<Value | undefined> => {
    const { execution } = await send<CallRequest, CallResponse>(
      clients.sandbox,
      clients.sandbox.call,
      CallRequest.fromPartial({
        sessionId: session.id,
        path: "identity",
        args: [value],
        encoding,
        ...(valueBytes === 0 ? {} : { limits: { valueBytes: BigInt(valueBytes) } }),
      }),
    );
    return execution?.outcome?.$case === "value" ? execution.outcome.value : undefined;
  };
  const execute = async (code: string): Promise<Execution | undefined> => {
    const request = ExecuteRequest.fromPartial({ sessionId: session.id, code });
    const { execution } = await send<ExecuteRequest, ExecuteResponse>(
      clients.sandbox,
      clients.sandbox.execute,
      request,
    );
    return execution;
  };
  const json = (value: string): Value => ({ kind: { $case: "json", value } });
  const text = `"${"x\\n".repeat(1_000)}\\u00e9"`;

  test.each([Encoding.FULL, Encoding.JSON])(
    "is JSON text as JSON.stringify writes it, encoding %i",
    async (encoding) => {
      expect(await call(json(`${text}  `), encoding)).toEqual(json(JSON.stringify(JSON.parse(text))));
    },
  );

  test("is data where it can be that", async () => {
    const execution = await execute("'é'.repeat(1000)");
    expect(execution?.outcome).toMatchObject({ value: { kind: { $case: "data", value: `"${"é".repeat(1_000)}"` } } });
    for (const code of ["'x'.repeat(400_000)", "'\\ud800'.repeat(1000)"]) {
      expect((await execute(code))?.outcome).toMatchObject({ value: { kind: { $case: "handle" } } });
    }
  });

  test.each([
    ["has no end", text.slice(0, -1)],
    ["goes on behind its end", `${text} x`],
    ["has an end of line in it", `"${"x".repeat(300)}\n"`],
    ["has an escape that is none", `"${"x".repeat(300)}\\x41"`],
  ])("is that it is no JSON, where it %s", async (_what, invalid) => {
    await expect(call(json(invalid), Encoding.FULL)).rejects.toMatchObject({
      details: expect.stringMatching(/args\[0\].*is not valid JSON text/),
    });
  });

  test.each([
    ["ASCII", "x"],
    ["what takes two bytes in JSON", "\n"],
    ["what takes six", "\u0001"],
    ["two bytes of UTF-8", "é"],
    ["an astral character", "\u{1f600}"],
    ["NUL", "\0"],
    ["NUL at the end", "xyz\0"],
  ])("is a handle where its JSON text is too large by a byte: %s", async (_what, part) => {
    const whole = JSON.stringify(part.repeat(2_000));
    const bytes = Buffer.byteLength(whole);
    expect(await call(json(whole), Encoding.FULL, bytes)).toEqual(json(whole));
    expect((await call(json(whole), Encoding.FULL, bytes - 1))?.kind?.$case).toBe("handle");
    expect(await call(json(whole), Encoding.JSON, bytes)).toEqual(json(whole));
    expect(await call(json(whole), Encoding.JSON, bytes - 1)).toBeUndefined();
  });

  test("is a handle where the part before NUL would fit", async () => {
    expect(await session.execute("'\\0' + '\\x01'.repeat(1_000_000)")).toBeInstanceOf(Handle);
  });

  test("is all of it, up to the most that a value may have", async () => {
    const most = 3 * 1024 * 1024;
    const string = "x".repeat(most - 2);
    expect(await session.call("identity", [string])).toBe(string);
    expect(await session.execute(`'x'.repeat(${most - 1})`)).toBeInstanceOf(Handle);
  });
});
