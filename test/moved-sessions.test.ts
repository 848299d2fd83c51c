/** A session goes to another process, and nobody can tell by what it does. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Handle, Livescope, type Session, type SessionEvent } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { keyFile } from "./support/key-file.js";
import { Mutant } from "./support/mutant.js";
import { ServerProcess } from "./support/server-process.js";

const KEY_FILE = keyFile(Buffer.alloc(32, "shared key"));

const start = () => ServerProcess.start(["--key-file", KEY_FILE]);

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

// To build it takes seconds.
test.runIf(isLong)("every process builds the same engine, wherever and whenever it starts", async () => {
  const digestIn = async (env: NodeJS.ProcessEnv, main?: string) => {
    await using server = await ServerProcess.start([], { env, main });
    await using client = await Livescope.connect(server.address);
    return (await client.serverInfo()).engineDigest;
  };
  const first = await digestIn({ TZ: "Asia/Tokyo", LANG: "ja_JP.UTF-8" });
  // What is damaged is built again. The engine tells time in microseconds: this is another one.
  using damaged = new Mutant([]);
  const kept = join(dirname(damaged.main), "engine", "base-image.bin");
  const bytes = readFileSync(kept);
  writeFileSync(kept, bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 1000));
  expect(await digestIn({ TZ: "America/Lima", LANG: "C" }, damaged.main)).toBe(first);
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  // What was built of other code is not taken.
  const bytecode = {
    file: "engine/worker/guest-bytecode.js",
    replace: "const STRIP_ALL = 3;",
    by: "const STRIP_ALL = 0;",
  };
  using other = new Mutant([bytecode]);
  expect(await digestIn({}, other.main)).not.toBe(first);
});

test("S14: a snapshot makes a session in another process, with the same handle ids", async () => {
  await using one = await start();
  await using here = await Livescope.connect(one.address);
  const session = await here.createSession();
  await session.execute("let total = 5; function inc(n) { return total += n }");
  const inc = await session.handle("inc");
  const bytes = await bytesOf(here.exportSnapshot(await session.snapshot()));
  await session.delete();
  await one.kill();

  await using two = await start();
  await using there = await Livescope.connect(two.address);
  await using moved = await there.createSession({ from: await there.importSnapshot(bytes) });
  const same = inc.in(moved);
  expect(await same.call([2])).toBe(7);
  expect((await moved.handle("inc")).id).not.toBe("");
  expect(await moved.execute("total")).toBe(7);
});

test("a snapshot in a data directory outlives the server that is killed", async () => {
  const root = mkdtempSync(join(tmpdir(), "livescope-"));
  const start = () => ServerProcess.start(["--data", join(root, "data")]);
  await using one = await start();
  await using here = await Livescope.connect(one.address);
  const session = await here.createSession({ setup: "let total = 5; function inc(n) { return total += n }" });
  const inc = await session.handle("inc");
  const { snapshotId } = await session.snapshot();
  await one.kill();

  await using two = await start();
  await using there = await Livescope.connect(two.address);
  const again = await there.createSession({ from: snapshotId });
  expect(await inc.in(again).call([2])).toBe(7);
  await two.kill();
  rmSync(root, { recursive: true });
});

const SETUP = `
  // Values.
  const cycle = { name: "cycle", list: [1, , 3], big: 2n ** 70n, when: new Date(86_400_000), at: /o/g };
  cycle.self = cycle;
  cycle.at.exec("foo boo");
  const map = new Map([["a", 1], [cycle, new Set([1, 2])]]);
  const order = map.entries(); order.next();
  const bytes = new Uint8Array([1, 2, 3, 4]); const view = new DataView(bytes.buffer, 1, 2);
  const key = Symbol("key"); const shared = Symbol.for("shared");
  const secret = { [key]: 1, [shared]: 2, get own() { return this[key]++ } };
  const frozen = Object.freeze({ a: 1 });
  const proxy = new Proxy({ a: 1 }, { get: (target, name) => name in target ? target[name]++ : String(name) });
  class Counter { #n = 10; static made = 0; constructor() { Counter.made++ } up() { return ++this.#n } static is(o) { return #n in o } }
  class Twice extends Counter { up() { return super.up() + super.up() } }
  const counter = new Twice();
  const held = { alive: true }; const weak = new WeakRef(held); const weakly = new WeakMap([[held, "kept"]]);
  const address = new URL("http://example.com/a?b=1"); const params = address.searchParams;
  const abort = new AbortController(); const aborted = [];
  abort.signal.addEventListener("abort", ({ target }) => aborted.push(String(target.reason)));

  // Code that is half way.
  function* numbers() { try { let n = 0; for (;;) n += yield n } finally { log.push("generator closed") } }
  const log = [];
  const generator = numbers(); generator.next(); generator.next(5);
  async function* ticks() { for (let i = 0; ; i++) { await 0; yield i } }
  const ticking = ticks();
  let open; const opened = new Promise((resolve, reject) => { open = { resolve, reject } });
  async function waits(name) {
    try { const value = await opened; log.push(name + " got " + value); return value }
    catch (error) { log.push(name + " failed " + error.message); throw error }
    finally { log.push(name + " finally") }
  }
  const first = waits("first"), second = first.then((value) => value + 1);
  const closure = (() => { let n = 0; return { up: () => ++n, get: () => n } })();
  closure.up();

  // The platform.
  const timeline = [];
  const later = (name, ms) => setTimeout((text) => timeline.push(name + text), ms, "!");
  later("late", 5_000); later("soon", 1_500);
  const every = setInterval(() => { timeline.push("tick"); clearInterval(every) }, 1_800);
  clearTimeout(later("never", 1_700));
  const cur = new Locals();
  const variable = new AsyncContext.Variable({ name: "v", defaultValue: "none" });
  console.count("kept"); console.group("inside");
  function fails() {
    null.thing;
  }
`;

/** Things that go on until somebody answers, by their request ids. */
const IN_FLIGHT: Readonly<Record<string, string>> = {
  "waits-for-host": "const answer = await ask('first'); log.push(answer); answer + locals.user",
  "waits-in-block":
    "await cur.with({ x: 'bound' }, async () => await ask('second') + cur.x + await ask('third') + cur.x)",
  "waits-in-variable": "await variable.run('set', async () => { await ask('fourth'); return variable.get() })",
  "waits-for-code": "(await second) + locals.user",
  "waits-for-timer": "await new Promise((resolve) => setTimeout(resolve, 2_000)); timeline.push(locals.user)",
  "fails-after-host": "await ask('fifth'); fails()",
};

/** What a session does from the moment on from which it could have moved: the answers to all that is asked of it. */
const PROBES: readonly string[] = [
  "[generator.next(7).value, generator.return('end').value, generator.next().done]",
  "[(await ticking.next()).value, (await ticking.next()).value]",
  "order.next().value[1]",
  "[cycle.self === cycle, 1 in cycle.list, cycle.big, cycle.when.toISOString(), cycle.at.lastIndex, cycle.at.exec('foo boo')?.index]",
  "[map.get(cycle).has(2), map.size]",
  "(bytes[2] = 77, [view.getUint8(1), view.byteLength, bytes])",
  "[secret.own, secret.own, secret[key], secret[Symbol.for('shared')], key.description]",
  "(() => { 'use strict'; try { frozen.a = 2 } catch (error) { return error.name } })()",
  "[proxy.a, proxy.a, proxy.other]",
  "[counter.up(), counter instanceof Counter, Counter.is(counter), Counter.is({}), Counter.made]",
  "[weak.deref() === held, weakly.get(held), weakly.get({})]",
  "(params.append('c', '2'), [address.href, address instanceof URL])",
  "(abort.abort('enough'), [aborted, abort.signal.aborted])",
  "const again = 1; again + (await import('lib.js')).up()",
  "(await import('other.js')).default",
  "console.count('kept'); console.groupEnd(); console.log('out'); console.countReset('kept'); console.count('kept')",
  "try { fails() } catch (error) { [error.name, error.message, error.stack] }",
  "[cur.constructor.name, 'x' in cur, variable.get()]",
  "eval('closure.get()') + new Function('return closure.up()')()",
  "open.resolve(41), await second",
  "log",
  "while (timeline.length < 4) await new Promise((resolve) => setTimeout(resolve, 20)); timeline",
  "let total = 3; total = await ask('last') + total; total",
  "[...Array(3)].map((_, i) => { using(i); function using(n) { return n } return i })",
];

/** What is in flight is to be so as long as the test lasts. */
const LIMITS = { timeout: 120_000 };

class Subject {
  readonly asked: string[] = [];
  readonly #answers = new Map<string, () => void>();
  readonly #ends = new Map<string, string>();

  /** The function that guest code waits for. */
  readonly ask = (question: string): Promise<string> =>
    new Promise((resolve) => {
      this.asked.push(question);
      this.#answers.set(question, () => resolve(`${question} answered `));
    });

  /** From now on it is known how executions end. */
  async watch(session: Session): Promise<void> {
    const events = session.watch();
    await events.next();
    const heard = async (): Promise<void> => {
      for await (const event of events) note(event, this.#ends);
    };
    // It ends with its session.
    heard().catch(() => undefined);
  }

  async build(session: Session): Promise<Record<string, Handle>> {
    await session.execute("await import('lib.js'); 0", {
      modules: {
        "lib.js": "import { step } from 'step.js'; let n = 0; export const up = () => n += step;",
        "step.js": "export const step = 2;",
        "other.js": "import { up } from 'lib.js'; export default up();",
      },
    });
    await session.execute(SETUP, { filename: "setup.js" });
    await session.templates({
      base: "<b>{% block body %}{% end %}</b>",
      page: "{% extends 'base' %}{% block body %}{{ closure.up() }}{% end %}",
    });
    await session.render({ name: "page" });
    await session.expose({ ask: this.ask });
    for (const [requestId, code] of Object.entries(IN_FLIGHT)) {
      // How it ends is told to whoever watches, also where its caller does not hear it.
      session.execute(code, { requestId, locals: { user: "ann" }, filename: `${requestId}.js` }).catch(() => undefined);
    }
    while (this.asked.length < 4) await session.execute("0");
    const names = ["counter", "closure", "map", "generator", "key", "proxy", "fails"];
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await session.handle(name)])));
  }

  /** Everything that can be seen of the session from now on, as text. */
  async transcript(session: Session, handles: Readonly<Record<string, Handle>>): Promise<string[]> {
    const lines: string[] = [];
    for (const question of ["first", "second", "fourth", "fifth"]) this.#answers.get(question)?.();
    while (!this.asked.includes("third")) await session.execute("0");
    this.#answers.get("third")?.();
    for (const probe of PROBES) {
      const running = session.execute(probe, { filename: "probe.js" }).execution();
      if (probe.includes("'last'")) {
        while (!this.asked.includes("last")) await session.execute("0");
        this.#answers.get("last")?.();
      }
      const { value, console } = await running.catch((error: Error) => ({ value: describe(error), console: [] }));
      lines.push(`${probe}\n  -> ${show(value)} ${console.map(({ text }) => text).join(" | ")}`);
    }
    for (const [name, handle] of Object.entries(handles)) {
      const { type, className, preview } = handle;
      const { properties } = await handle.inspect();
      lines.push([name, type, className, preview, show(properties)].join(" "));
    }
    lines.push(show(await handles.counter?.callMethod("up")));
    lines.push(show(await handles.map?.value()));
    lines.push(await session.render({ name: "page" }));
    lines.push(show((await session.info()).handleCount));
    for (const id of Object.keys(IN_FLIGHT)) while (!this.#ends.has(id)) await session.execute("0");
    return [
      ...lines,
      ...[...this.#ends]
        .filter(([id]) => id in IN_FLIGHT)
        .map((end) => end.join(": "))
        .sort(),
    ];
  }
}

function note(event: SessionEvent, ends: Map<string, string>): void {
  if (event.kind === "finished") ends.set(event.executionId, show(event.execution.value));
  if (event.kind === "failed") ends.set(event.executionId, describe(event.error));
}

function describe(error: Error): string {
  const { guestStack = "" } = error as { guestStack?: string };
  return `${error.message} ${guestStack}`;
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === "bigint") return `${item}n`;
    if (item instanceof Map || item instanceof Set) return [...item].map(String);
    if (item instanceof Uint8Array) return [...item];
    return item;
  });
}

test("a snapshot that is being read is read whole though its server is told to stop", async () => {
  const server = await startServer({ workers: 1 });
  await using client = await Livescope.connect(server.address);
  const setup = `
    const large = new Uint32Array(4 << 20);
    for (let i = 0, x = 1; i < large.length; i++) large[i] = x = Math.imul(x, 1664525) + 1013904223;`;
  const session = await client.createSession({ limits: { memoryBytes: 64 << 20 }, setup });
  let bytes = 0;
  let closed: Promise<void> | undefined;
  for await (const chunk of client.exportSnapshot(await session.snapshot())) {
    bytes += chunk.length;
    closed ??= server.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await closed;
  expect(bytes).toBeGreaterThan(16 << 20);
});

test("a session with everything alive in it goes on in another process as one does that never moved", async () => {
  const server = await startServer({ workers: 1 });
  await using client = await Livescope.connect(server.address);
  const moving = new Subject();
  await using one = await start();
  const here = await Livescope.connect(one.address);
  const origin = await here.createSession({ limits: LIMITS });
  const handles = await moving.build(origin);
  const bytes = await bytesOf(here.exportSnapshot(await origin.snapshot()));
  await one.kill();
  here.close();

  await using two = await start();
  await using there = await Livescope.connect(two.address);
  const moved = await there.createSession({ from: await there.importSnapshot(bytes) });
  const arrived = new Subject();
  await arrived.watch(moved);
  await moved.expose({ ask: arrived.ask });
  while (arrived.asked.length < 4) await moved.execute("0");
  expect(arrived.asked.sort()).toEqual(moving.asked.sort());

  // Its clocks begin now: those of the other kept the time that they had left.
  const staying = new Subject();
  const stays = await client.createSession({ limits: LIMITS });
  await staying.watch(stays);
  const stayingHandles = await staying.build(stays);
  const [expected, actual] = await Promise.all([
    staying.transcript(stays, stayingHandles),
    arrived.transcript(
      moved,
      Object.fromEntries(Object.entries(handles).map(([name, each]) => [name, each.in(moved)])),
    ),
  ]);
  expect(actual).toEqual(expected);
  // It is not empty talk: these are known.
  expect(actual).toEqual(
    expect.arrayContaining([
      expect.stringContaining('-> [12,"end",true]'),
      'waits-in-block: "second answered boundthird answered bound"',
      'waits-for-host: "first answered ann"',
      'waits-in-variable: "set"',
      'waits-for-code: "42ann"',
      expect.stringMatching(/^fails-after-host: .*setup\.js:\d+/s),
    ]),
  );
  await moved.delete();
  await server.close();
});
