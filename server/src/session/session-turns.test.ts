/** Turns that fail before anything of the guest's ran in them, as where a thread dies early. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Engine, type TurnResult } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import { sessionLimits } from "./limits.js";
import type { Outcome } from "./outcome.js";
import { Session } from "./session.js";

let engine: Engine;
let session: Session;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
  session = new Session(engine, {
    sessionId: "a",
    labels: new Map(),
    limits: sessionLimits({}),
    idleTtl: 60_000,
    idleAction: "delete",
    parent: "",
  });
});
afterEach(() => vi.restoreAllMocks());
afterAll(async () => {
  await session.end(() => new SessionError("SESSION_DELETED", "over"));
  await engine.close();
});

function run(code: string): Promise<Outcome> {
  const options = { encoding: 2, handleGroup: "", requestId: "", digest: "", atomic: false, parentExecutionId: "" };
  return session.submit(
    { kind: "execute", code, filename: "a.js", isModule: false, bindings: new Map() },
    { ...options, deadline: Number.POSITIVE_INFINITY },
  ).outcome;
}

const FAILED: TurnResult = {
  ...{ kind: "undone", reason: "trap", message: "its worker died", began: true, culprit: 0 },
  ...{ startedAt: 0, cpuTime: 0, console: [], told: 0 },
};

/** This often turns of timers end as if their thread had died before anything ran. */
function failTimers(times: number): void {
  let left = times;
  const run = engine.run.bind(engine);
  vi.spyOn(engine, "run").mockImplementation((memory, specs) => {
    if (left === 0 || specs.some(({ input }) => input.kind !== "timer")) return run(memory, specs);
    left--;
    for (const { done } of specs) setImmediate(done, FAILED);
    return specs.map(() => ({ stop: () => undefined }));
  });
}

const sleep = (ms: number, value: number): Promise<Outcome> =>
  run(`await new Promise((resolve) => setTimeout(resolve, ${ms})); ${value}`);

test("a timer's turn is given once more", async () => {
  failTimers(1);
  expect(await sleep(1, 42)).toMatchObject({ result: { kind: "value", value: { text: "42" } } });
});

test("and then who set the timer answers for it, and those of others are left", async () => {
  failTimers(2);
  const [first, other] = await Promise.all([sleep(1, 1), sleep(200, 2)]);
  expect(first).toMatchObject({ result: { kind: "stopped", reason: "ENGINE_TRAP" } });
  expect(other).toMatchObject({ result: { kind: "value" }, warnings: [] });
});

test("one that nobody in flight has set is taken away, and no other", async () => {
  await run("let left = 0; setTimeout(() => left++, 1); 0");
  failTimers(2);
  const other = await sleep(200, 3);
  expect(other).toMatchObject({
    result: { kind: "value" },
    warnings: [{ message: expect.stringContaining("taken away") }],
  });
  expect(await run("left")).toMatchObject({ result: { value: { text: "0" } } });
});
