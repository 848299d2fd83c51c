/** A session with a large heap, which this thread sets aside and puts back while it serves others. */
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import {
  ending,
  endSession,
  execute,
  executeTillLogged,
  makeSession,
} from "../../../test/support/session-on-engine.js";
import { Engine } from "../engine/engine.js";
import type { Execution } from "./execution.js";
import type { Session } from "./session.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

let session: Session;
beforeEach(async () => {
  session = makeSession(engine);
  await ending(run("var n = 1; var bytes = new Uint8Array(24 << 20).fill(7)"));
  return () => endSession(session);
});

const run = (code: string, atomic = false): Execution => execute(session, code, atomic);

/** While this runs no more is copied at once than takes a few milliseconds. */
async function inPieces(work: () => Promise<void>): Promise<void> {
  const copied = vi.spyOn(Object.getPrototypeOf(Uint8Array.prototype), "set");
  await work();
  const sizes = copied.mock.calls.map(([source]) => (source as ArrayLike<number>).length);
  copied.mockRestore();
  expect(sizes.length).toBeGreaterThan(4);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4 << 20);
}

test.each([
  ["throws", "n = 2; bytes = 0; throw 1", "exception"],
  ["grew, and throws", "n = 2; var more = new Uint8Array(8 << 20).fill(1); bytes.fill(0); throw 1", "exception"],
  ["waited, and throws", "n = 2; bytes[5] = 0; await new Promise((go) => setTimeout(go, 1)); throw 1", "exception"],
  ["ends well", "n = 2", "2"],
])("the session of an atomic execution that %s is set aside, and put back, in pieces", (_how, code, end) =>
  inPieces(async () => {
    const atomic = run(code, true);
    // It came later, so it finds what is left.
    const next = run("n + ':' + (bytes[5] + bytes.at(-1))");
    expect(await ending(atomic)).toBe(end);
    expect(await ending(next)).toBe(end === "2" ? '"2:14"' : '"1:14"');
  }),
);

test.each([
  ["polls for nothing", "n = 2; bytes.fill(0); new Array(1e9) + ''"],
  [
    "grew, and polls for nothing",
    "n = 2; var more = new Uint8Array(8 << 20).fill(1); bytes.fill(0); new Array(1e9) + ''",
  ],
])("one that %s is undone in pieces", (_how, code) =>
  inPieces(async () => {
    const stuck = await executeTillLogged(session, `console.log(1); ${code}`);
    stuck.cancel();
    const next = run("n + ':' + (bytes[5] + bytes.at(-1)) + ':' + typeof more");
    expect(await ending(stuck)).toBe("CANCELLED");
    expect(await ending(next)).toBe('"1:14:undefined"');
  }),
);

test("and no more is cleared at once, where the heap had been as large before", async () => {
  await ending(run("var more = new Uint8Array(24 << 20).fill(1); more = 0"));
  const cleared = vi.spyOn(Buffer.prototype, "fill");
  expect(await ending(run("more = new Uint8Array(20 << 20).fill(1); throw 1", true))).toBe("exception");
  expect(await ending(run("more + bytes[5]"))).toBe("7");
  const sizes = cleared.mock.contexts.map(({ length }) => length);
  cleared.mockRestore();
  expect(sizes.length).toBeGreaterThan(4);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4 << 20);
});

test("one that is cancelled while its session is set aside never runs, and others go on", async () => {
  const copy = engine.copyImage.bind(engine);
  const atomic = run("n = 2", true);
  const spy = vi.spyOn(engine, "copyImage").mockImplementation(async (memory) => {
    const image = await copy(memory);
    atomic.cancel();
    return image;
  });
  const next = run("n");
  expect(await ending(atomic)).toBe("CANCELLED");
  expect(await ending(next)).toBe("1");
  spy.mockRestore();
  expect(await ending(run("n = 3; throw 1", true))).toBe("exception");
  expect(await ending(run("n"))).toBe("1");
});
