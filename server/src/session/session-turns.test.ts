/** Turns that fail before anything of the guest's ran in them, as where a thread dies early. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Engine, type TurnResult, type TurnSpec } from "../engine/engine.js";
import type { TurnInput } from "../engine/kernel-protocol.js";
import { SessionError } from "./errors.js";
import type { CommandOptions, Execution } from "./execution.js";
import { sessionLimits } from "./limits.js";
import type { HostLink } from "./lending.js";
import type { Outcome } from "./outcome.js";
import { Session } from "./session.js";

let engine: Engine;
let session: Session;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
  session = new Session(engine, {
    sessionId: "a",
    labels: new Map(),
    limits: sessionLimits({ timeout: 600_000, cpuTime: 60_000 }),
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

function begin(code: string, more: Partial<CommandOptions> = {}): Execution {
  const options = { encoding: 2, handleGroup: "", requestId: "", digest: "", atomic: false, parentExecutionId: "" };
  return session.submit(
    { kind: "execute", code, filename: "a.js", isModule: false, bindings: new Map() },
    { ...options, deadline: Number.POSITIVE_INFINITY, ...more },
  );
}

function run(code: string): Promise<Outcome> {
  return begin(code).outcome;
}

/** Has what has ended wait for `answer`, a global of the guest's, which is to be this JSON text. @returns gives it that */
async function called(text: string): Promise<() => void> {
  let answer = none;
  const link: HostLink = {
    ...{ isOpen: true, attached: none, ended: none, sessionLeft: none, namesLeft: none },
    ...{ cancelled: none, passedOn: none, released: none },
    call: ({ callId }, functions) => {
      answer = () => functions.result(link, callId, { kind: "value", value: { kind: "json", text } });
    },
  };
  const lender = { connectionId: "c", names: ["host"], takeOver: true, reconnectWindow: 0 };
  await session.expose(lender, link, none);
  await run("globalThis.answer = host(); 0");
  return () => answer();
}

const FAILED: TurnResult = {
  ...{ kind: "undone", reason: "trap", message: "its worker died", began: true, culprit: 0 },
  ...{ startedAt: 0, cpuTime: 0, console: [], told: 0 },
};

type Ending = Partial<TurnResult & { readonly kind: "undone" }>;

/** So the first turns of such inputs end that are run from now on, as if their thread had died before anything ran, or otherwise. */
function fail(kind: TurnInput["kind"], ...endings: readonly Ending[]): void {
  const left = [...endings];
  const run = engine.run.bind(engine);
  vi.spyOn(engine, "run").mockImplementation((memory, specs) => {
    const endingOf = new Map<TurnSpec, Ending>();
    for (const spec of specs) {
      const ending = spec.input.kind === kind ? left.shift() : undefined;
      if (ending !== undefined) endingOf.set(spec, ending);
    }
    for (const [{ done }, ending] of endingOf) setImmediate(() => done({ ...FAILED, ...ending } as TurnResult));
    const others = specs.filter((spec) => !endingOf.has(spec));
    const turns = others.length > 0 ? run(memory, others) : [];
    return specs.map((spec) => turns[others.indexOf(spec)] ?? { stop: () => undefined });
  });
}

const failTimers = (...endings: readonly Ending[]): void => fail("timer", ...endings);

const none = (): void => undefined;

const sleep = (ms: number, value: number): Promise<Outcome> =>
  run(`await new Promise((resolve) => setTimeout(resolve, ${ms})); ${value}`);

test("a timer's turn is given once more", async () => {
  failTimers({});
  expect(await sleep(1, 42)).toMatchObject({ result: { kind: "value", value: { text: "42" } } });
});

test("and then who set the timer answers for it, and those of others are left", async () => {
  failTimers({}, {});
  const [first, other] = await Promise.all([sleep(1, 1), sleep(200, 2)]);
  expect(first).toMatchObject({ result: { kind: "stopped", reason: "ENGINE_TRAP" } });
  expect(other).toMatchObject({ result: { kind: "value" }, warnings: [] });
});

test("one that nobody in flight has set is taken away, and no other", async () => {
  await run("let left = 0; setTimeout(() => left++, 1); 0");
  failTimers({}, {});
  const other = await sleep(200, 3);
  expect(other).toMatchObject({
    result: { kind: "value" },
    warnings: [{ message: expect.stringContaining("taken away") }],
  });
  expect(await run("left")).toMatchObject({ result: { value: { text: "0" } } });
});

test("what is asked to stop while another runs is stopped with that, should that be asked too", async () => {
  let isOn = (): void => undefined;
  const on = new Promise<void>((resolve) => {
    isOn = resolve;
  });
  const holder = begin("await new Promise(() => setTimeout(() => undefined, 3_600_000))", { atomic: true });
  const spins = "await new Promise((resolve) => setTimeout(resolve, 1)); console.log('on'); for (;;);";
  const listener = { console: isOn };
  const inner = begin(spins, { parentExecutionId: holder.executionId, listener });
  await on;
  holder.cancel();
  inner.cancel();
  expect(await holder.outcome).toMatchObject({ result: { kind: "stopped", reason: "CANCELLED" }, undone: true });
  expect(await inner.outcome).toMatchObject({ result: { kind: "stopped", reason: "CANCELLED" } });
  expect(await run("1")).toMatchObject({ result: { kind: "value" } });
});

test("one is stopped that runs in another's turn, while its own waits for that to end", async () => {
  // Where its own turn is quick enough to wait for the other.
  for (let i = 0; i < 20; i++) {
    let isOn = (): void => undefined;
    const on = new Promise<void>((resolve) => {
      isOn = resolve;
    });
    const code = "await new Promise((resolve) => { globalThis.go = resolve }); console.log('on'); for (;;);";
    const waits = begin(code, { listener: { console: isOn } });
    const other = begin("globalThis.go?.(); await 0; 7");
    await on;
    waits.cancel();
    expect(await waits.outcome).toMatchObject({ result: { kind: "stopped", reason: "CANCELLED" } });
    expect(await other.outcome).toMatchObject({ result: { kind: "value", value: { text: "7" } } });
  }
  expect(await run("1")).toMatchObject({ result: { kind: "value" } });
});

test("and one whose own turn is stopped where another runs in it", async () => {
  let isOn = none;
  const on = new Promise<void>((resolve) => {
    isOn = resolve;
  });
  const spins = "{ const end = Date.now() + 100; while (Date.now() < end); }";
  const other = begin(
    `await new Promise((resolve) => { globalThis.go = resolve; setTimeout(resolve, 3_600_000) }); console.log("on"); ${spins} 9`,
    {
      listener: { console: isOn },
    },
  );
  await run("0");
  const own = begin("go(); await 0; for (;;);");
  await on;
  own.cancel();
  expect(await own.outcome).toMatchObject({ result: { kind: "stopped", reason: "CANCELLED" } });
  await run("go()");
  expect(await other.outcome).toMatchObject({ result: { kind: "value", value: { text: "9" } } });
});

test("a turn that was asked to end for the sake of another, and never began, is given again", async () => {
  fail("run", { reason: "stopped", began: false });
  expect(await run("3")).toMatchObject({ result: { kind: "value", value: { text: "3" } } });
});

test("a turn of the kernel's own is given once more", async () => {
  fail("defineGlobals", {});
  await session.defineGlobals(new Map([["given", { kind: "json", text: "8" }]]));
  expect(await run("given")).toMatchObject({ result: { kind: "value", value: { text: "8" } } });
});

test("nor is it a failure that a turn was stopped for the sake of another", async () => {
  failTimers({ reason: "stopped" }, {});
  expect(await sleep(1, 5)).toMatchObject({ result: { kind: "value", value: { text: "5" } } });
});

test("an answer that no execution in flight has asked for outlives all that it makes fail", async () => {
  const answer = await called("6");
  const greedy = [1, 2].map(() => run("await answer; for (const all = []; ; ) all.push(new Uint8Array(1 << 20))"));
  const modest = run("await answer");
  await run("0");
  answer();
  for (const each of greedy) expect(await each).toMatchObject({ result: { kind: "stopped", reason: "MEMORY" } });
  expect(await modest).toMatchObject({ result: { kind: "value", value: { text: "6" } } });
});

test("one that cannot be taken at all is an error to who waits for it", async () => {
  const answer = await called(`"${"x".repeat(63 << 20)}"`);
  const waits = run("await answer.catch(String)");
  await run("0");
  answer();
  expect(await waits).toMatchObject({ result: { value: { text: expect.stringContaining("to take the answer") } } });
});
