import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withServer } from "../../test/support/server.js";
import { Livescope, type Session } from "./index.js";

const served = withServer();
let session: Session;
beforeAll(async () => {
  session = await served.client.createSession({ setup: "function f(x) { return x }" });
});
afterAll(() => session?.delete());

/** As a caller does whose types nobody checks. */
function unchecked<T>(value: unknown): T {
  return value as T;
}

describe("what no type allows is refused with what to give instead, before anything is sent:", () => {
  const create = (options: unknown) => () => served.client.createSession(unchecked(options));
  const run = (options: unknown) => () => session.execute("1", unchecked(options));
  it.each<[what: string, call: () => unknown, error: new () => Error, message: string]>([
    [
      "a durability",
      create({ durability: "DURABLE" }),
      TypeError,
      'durability is "DURABLE": give "ephemeral" or "durable", or leave it out',
    ],
    [
      "a durability to attach with",
      async () => served.client.attach("s", unchecked({ durability: true })),
      TypeError,
      'durability is true: give "ephemeral" or "durable", or leave it out',
    ],
    [
      "an idle action",
      create({ idleAction: "sleep" }),
      TypeError,
      'idleAction is "sleep": give "delete" or "hibernate", or leave it out',
    ],
    [
      "the name of a limit",
      create({ limits: { memory: 5 } }),
      TypeError,
      "limits has no memory: there are memoryBytes, timeout, cpuTime, consoleBytes, valueBytes, handles, queuedExecutions",
    ],
    [
      "limits",
      create({ limits: 5 }),
      TypeError,
      "limits is 5: give an object of values by their names, or leave it out",
    ],
    [
      "a limit",
      create({ limits: { memoryBytes: "1 MB" } }),
      TypeError,
      'limits.memoryBytes is "1 MB": give a positive whole number, or leave it out',
    ],
    [
      "an idle time",
      create({ idleTtl: "5" }),
      TypeError,
      'idleTtl is "5": give a positive number of milliseconds, or leave it out',
    ],
    ["a setup", create({ setup: () => 1 }), TypeError, "setup is a function: give a string"],
    ["a module", create({ modules: { "a.js": 1 } }), TypeError, 'modules["a.js"] is 1: give a string'],
    ["a label", create({ labels: { a: 1 } }), TypeError, 'labels["a"] is 1: give a string'],
    [
      "globals",
      create({ globals: [1] }),
      TypeError,
      "globals is an array: give an object of values by their names, or leave it out",
    ],
    [
      "a timeout",
      run({ timeout: "5" }),
      TypeError,
      'timeout is "5": give a positive number of milliseconds, or leave it out',
    ],
    [
      "a timeout of a request",
      () => session.info({ timeout: -1 }),
      RangeError,
      "timeout is -1: give a positive number of milliseconds, or leave it out",
    ],
    [
      "bindings",
      run({ bindings: 5 }),
      TypeError,
      "bindings is 5: give an object of values by their names, or leave it out",
    ],
    [
      "bindings in a Map",
      run({ bindings: new Map([["a", 1]]) }),
      TypeError,
      "bindings is a Map: give an object of values by their names, or leave it out",
    ],
    [
      "labels in a Map",
      create({ labels: new Map([["a", "b"]]) }),
      TypeError,
      "labels is a Map: give an object of values by their names, or leave it out",
    ],
    [
      "functions in a Map",
      () => session.expose(unchecked(new Map([["a", () => 1]]))),
      TypeError,
      "what is exposed is a Map: expose functions by their names",
    ],
    [
      "an object whose functions are its class's",
      () =>
        session.expose(
          unchecked(
            new (class Tools {
              add(): void {}
            })(),
          ),
        ),
      TypeError,
      "what is exposed is an object of a class: expose its methods by their names",
    ],
    [
      "functions in a list",
      () => session.expose(unchecked([() => 1])),
      TypeError,
      "what is exposed is an array: expose functions by their names",
    ],
    ["a listener", run({ onConsole: 5 }), TypeError, "onConsole is 5: give a function, or leave it out"],
    [
      "a listener that is none",
      run({ onConsole: false }),
      TypeError,
      "onConsole is false: give a function, or leave it out",
    ],
    [
      "a language",
      run({ language: "python" }),
      TypeError,
      'language is "python": give "javascript" or "typescript", or leave it out',
    ],
    ["code", () => session.execute(unchecked(() => 1)), TypeError, "the code is a function: give a string"],
    ["arguments", () => session.call("f", unchecked(5)), TypeError, "args is 5: give an array, such as [5]"],
    ["a path", () => session.call(unchecked(null)), TypeError, "the path is null: give a string"],
    ["a path to look at", () => session.inspect(unchecked(null)), TypeError, "the path is null: give a string"],
    [
      "a path to read",
      async () => (await session.handle("f")).get(unchecked(0)),
      TypeError,
      "the path is 0: give a string",
    ],
    ["a module to load", () => session.load(unchecked(undefined)), TypeError, "the module is undefined: give a string"],
    ["the name of one", () => session.load(unchecked({})), TypeError, "the module is undefined: give a string"],
    ["a template", () => session.render(unchecked({})), TypeError, "the template is undefined: give a string"],
    [
      "an id that is empty",
      create({ sessionId: "" }),
      TypeError,
      'sessionId is "": give a string that is not empty, or leave it out',
    ],
    [
      "a snapshot to begin from",
      create({ from: {} }),
      TypeError,
      "the snapshot is an object: give a snapshot, or its id",
    ],
    ["an id to begin from", create({ from: "" }), TypeError, 'the snapshot is "": give a snapshot, or its id'],
    [
      "a snapshot to delete",
      () => served.client.deleteSnapshot(unchecked(5)),
      TypeError,
      "the snapshot is 5: give a snapshot, or its id",
    ],
    [
      "a snapshot to go back to",
      () => session.rollback(unchecked(undefined)),
      TypeError,
      "the snapshot is undefined: give a snapshot, or its id",
    ],
    [
      "a snapshot to tell about",
      () => served.client.snapshot(unchecked(5)),
      TypeError,
      "snapshotId is 5: give a string",
    ],
    [
      "bytes to import",
      () => served.client.importSnapshot(unchecked(new ArrayBuffer(1))),
      TypeError,
      "the bytes are an object: give a Uint8Array, or what iterates over some",
    ],
    [
      "a piece to import",
      () => served.client.importSnapshot(unchecked([1])),
      TypeError,
      "a piece of the bytes is 1: give a Uint8Array, or what iterates over some",
    ],
    [
      "a label of a copy",
      () => session.fork(unchecked({ labels: { a: 1 } })),
      TypeError,
      'labels["a"] is 1: give a string',
    ],
    [
      "a label of a snapshot",
      () => session.snapshot(unchecked({ labels: { a: 1 } })),
      TypeError,
      'labels["a"] is 1: give a string',
    ],
    [
      "a number of copies",
      () => session.fork(unchecked("2")),
      TypeError,
      'count is "2": give a positive whole number, or leave it out',
    ],
    [
      "a size of a page",
      () => served.client.listSessions({ pageSize: 1.5 }).next(),
      RangeError,
      "pageSize is 1.5: give a positive whole number, or leave it out",
    ],
    [
      "a size of a page of snapshots",
      () => served.client.listSnapshots({ pageSize: 1e12 }).next(),
      RangeError,
      "pageSize is 1000000000000: give a positive whole number of at most 2147483647, or leave it out",
    ],
    [
      "a label to look for",
      () => served.client.listSessions(unchecked({ labels: "a=b" })).next(),
      TypeError,
      'labels is "a=b": give an object of values by their names, or leave it out',
    ],
    [
      "a number of properties",
      () => session.inspect("f", unchecked({ maxProperties: "5" })),
      TypeError,
      'maxProperties is "5": give a positive whole number, or leave it out',
    ],
    [
      "a signal",
      run({ signal: new AbortController() }),
      TypeError,
      "signal is an object: give the signal of an AbortController, or leave it out",
    ],
    [
      "a signal of a request",
      () => session.info(unchecked({ signal: null })),
      TypeError,
      "signal is null: give the signal of an AbortController, or leave it out",
    ],
    [
      "a signal of what makes something",
      () => session.fork(unchecked({ signal: new AbortController() })),
      TypeError,
      "signal is an object: give the signal of an AbortController, or leave it out",
    ],
    [
      "a signal of what is listened to",
      () => session.watch(unchecked({ signal: new AbortController() })).next(),
      TypeError,
      "signal is an object: give the signal of an AbortController, or leave it out",
    ],
    [
      "a signal of an import",
      () => served.client.importSnapshot([], unchecked({ signal: new AbortController() })),
      TypeError,
      "signal is an object: give the signal of an AbortController, or leave it out",
    ],
    ["a file name", run({ filename: Object.create(null) }), TypeError, "filename is an object: give a string"],
    [
      "a file name of a template",
      () => session.render("", {}, unchecked({ filename: 5 })),
      TypeError,
      "filename is 5: give a string",
    ],
    [
      "a file name of a module",
      () => session.load("", unchecked({ filename: new URL("file:///a.ts") })),
      TypeError,
      "filename is an object: give a string",
    ],
    [
      "a request id",
      run({ requestId: 5 }),
      TypeError,
      "requestId is 5: give a string that is not empty, or leave it out",
    ],
    [
      "a request id that is empty",
      () => session.call("f", [], { requestId: "" }),
      TypeError,
      'requestId is "": give a string that is not empty, or leave it out',
    ],
    [
      "a request id of a session",
      create({ requestId: "" }),
      TypeError,
      'requestId is "": give a string that is not empty, or leave it out',
    ],
    [
      "a request id of a copy",
      () => session.fork({ requestId: "" }),
      TypeError,
      'requestId is "": give a string that is not empty, or leave it out',
    ],
    [
      "a request id of a snapshot",
      () => session.snapshot({ requestId: "" }),
      TypeError,
      'requestId is "": give a string that is not empty, or leave it out',
    ],
    [
      "a request id of a way back",
      () => session.rollback("s", { requestId: "" }),
      TypeError,
      'requestId is "": give a string that is not empty, or leave it out',
    ],
    ["what is to be atomic", run({ atomic: "no" }), TypeError, 'atomic is "no": give true or false, or leave it out'],
    [
      "what is to be escaped",
      () => session.render("{{ x }}", { x: "<" }, unchecked({ autoescape: 0 })),
      TypeError,
      "autoescape is 0: give true or false, or leave it out",
    ],
    [
      "what is to be taken over",
      () => session.expose({ taken: () => 1 }, unchecked({ takeOver: "no" })),
      TypeError,
      'takeOver is "no": give true or false, or leave it out',
    ],
    ["a sequence", () => session.atomic(unchecked(5)), TypeError, "the sequence is 5: give a function"],
    [
      "what is to be exposed",
      () => session.expose(unchecked(undefined)),
      TypeError,
      "what is exposed is undefined: expose functions by their names",
    ],
    [
      "an empty address",
      () => Livescope.connect(""),
      TypeError,
      'the address is "": address is HOST:PORT, or unix:/PATH; whether TLS is used is said by credentials',
    ],
    [
      "a URL as address",
      () => Livescope.connect("http://localhost:1/"),
      TypeError,
      'the address is "http://localhost:1/": address is HOST:PORT, such as localhost:1, or unix:/PATH; ' +
        "whether TLS is used is said by credentials",
    ],
    [
      "a transport",
      () => Livescope.connect(served.server.address, unchecked({ transport: "quic" })),
      TypeError,
      'transport is "quic": give "connect" or "unary", or leave it out',
    ],
  ])("%s", async (_, call, error, message) => {
    const thrown = await (async () => call())().catch((reason: unknown) => reason);
    expect(thrown).toBeInstanceOf(error);
    expect(thrown).toHaveProperty("message", message);
  });
});
