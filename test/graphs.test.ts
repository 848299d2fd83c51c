/** Graphs as others may send them, and any value whatever. */
import { CallRequest, Encoding, SandboxServiceService as Sandbox } from "@livescope/proto";
import type { Session } from "@livescope/sdk";
import * as devalue from "devalue";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RawConnection } from "./support/raw-http2.js";
import { expectSame } from "./support/same-value.js";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession({ setup: "function identity(value) { return value }" });
});
afterEach(() => session[Symbol.asyncDispose]());

describe("a graph on the wire", () => {
  let connection: RawConnection;
  beforeAll(() => {
    connection = new RawConnection(served.server.address);
  });
  afterAll(() => connection[Symbol.dispose]());

  const graph = (value: string) => ({ kind: { $case: "graph" as const, value } });

  test.each([
    ["an argument", "args[1]", { args: [graph("[1]"), graph("[[5]]")] }],
    ["this_value", "this_value", { thisValue: graph('[["Nope",0]]') }],
  ])("that is malformed is refused with its place: %s", async (_, field, fields) => {
    await session.execute("var ran = 0; function mark() { ran++ }");
    const request = CallRequest.fromPartial({ sessionId: session.id, path: "mark", ...fields });
    const answer = await connection.call(Sandbox.call, request);
    expect(answer).toMatchObject({
      status: "INVALID_ARGUMENT",
      message: expect.stringMatching(/is not a valid graph: ./),
    });
    expect(answer.message.startsWith(`${field}: `)).toBe(true);
    expect(await session.execute("ran")).toBe(0);
  });

  test("is taken as argument, binding, global and this_value", async () => {
    const call = CallRequest.fromPartial({
      sessionId: session.id,
      path: "Date.prototype.getTime",
      thisValue: graph('[["Date","1970-01-01T00:00:00.007Z"]]'),
    });
    const { execution } = await connection.ask(Sandbox.call, call);
    expect(execution?.outcome).toMatchObject({ value: { kind: { $case: "data", value: "7" } } });
    const other = await served.client.createSession({ globals: { when: new Date(5), big: { n: 10n } } });
    expect(await other.execute("when.getTime() + Number(big.n)")).toBe(15);
    await other[Symbol.asyncDispose]();
  });

  test("that is written by devalue is read, and the other way round", async () => {
    const value = { at: new Date(3), list: new Set([1n, undefined]), bytes: new Float32Array([0.5, 1.5]) };
    const request = {
      sessionId: session.id,
      path: "identity",
      args: [graph(devalue.stringify(value))],
      encoding: Encoding.FULL,
    };
    const { execution } = await connection.ask(Sandbox.call, CallRequest.fromPartial(request));
    const outcome = execution?.outcome;
    const kind = outcome?.$case === "value" ? outcome.value.kind : undefined;
    expect(devalue.parse(kind?.$case === "graph" ? kind.value : "")).toStrictEqual(value);
  });
});

describe("any value", () => {
  const anything = fc.anything({
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withObjectString: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    maxDepth: 4,
  });

  test("goes in and comes out as it was", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(anything, fc.boolean(), async (part, twice) => {
        const value = twice ? { part, again: [part] } : part;
        expectSame(await session.call("identity", [value]), value);
      }),
      { numRuns: 150 },
    );
  });

  test("that is made in the session comes out as it would be here", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (value) => {
        fc.pre(canBeSource(value));
        expectSame(await session.execute(`(${devalue.uneval(value)})`), value);
      }),
      { numRuns: 150 },
    );
  });

  /** devalue writes no source of an own `__proto__`, which is tested above. */
  function canBeSource(value: unknown): boolean {
    try {
      devalue.uneval(value);
      return true;
    } catch {
      return false;
    }
  }
});
