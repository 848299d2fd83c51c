/** A memory that another session had shows nothing of it, anywhere: not in the heap, not beyond its top, not on the stack. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine, type TurnResult } from "./engine.js";
import type { SessionMemory } from "./session-memory.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

function run(memory: SessionMemory, code: string, budget = 5_000): Promise<TurnResult> {
  return new Promise((done) => {
    const command = { kind: "execute", code, filename: "test.js", bindings: new Map() };
    const execution = { number: 1, encoding: 1, handleGroup: "", valueBytes: 1 << 20, handles: 1000 };
    engine.run(memory, [{ input: { kind: "run", command, execution } as never, budget, consoleBytes: 1_000, done }]);
  });
}

/** What a session keeps to itself, as bytes, as UTF-16 and as numbers. */
const SECRET = "hush-hush";
const KEEP = `
  var text = Array.from({ length: 300 }, (_, i) => "hush-" + "hush" + i);
  var wide = text.map((each) => each + "\\u{1f600}");
  var bytes = new Uint8Array(1000).map((_, i) => "hush-hush".charCodeAt(i % 9));
  var cells = new Float64Array(100).fill(0x68757368);
  function hush_hush() { return "hush-hush" }`;

/** How a session may end that has kept it. */
const ENDS: readonly (readonly [how: string, codes: readonly string[], ending: TurnResult["kind"]])[] = [
  ["as it is", [], "committed"],
  ["with garbage of it", ["text = wide = bytes = cells = undefined"], "committed"],
  [
    "with it on the stack",
    ["(function down(n, a) { return n === 0 ? 0 : down(n - 1, a) + 1 })(100, 'hush-' + 'hush')"],
    "committed",
  ],
  [
    "after a stack that was full",
    ["(() => { const f = () => f() + 'hush-hush'; try { f() } catch {} })()"],
    "committed",
  ],
  ["after it was in an undone turn alone", [`${KEEP}; for (;;);`], "undone"],
  ["after it was in a turn that was killed", [`${KEEP}; new Array(1e9) + ""`], "undone"],
  [
    "after it was in a turn that trapped",
    [`${KEEP}; Reflect.ownKeys(new Proxy({}, { ownKeys() { return { length: 0x20000001 } } }))`],
    "undone",
  ],
  ["after an error that carried it", ["throw new Error('hush-hush')"], "committed"],
  [
    "after a source of it",
    ["eval('var evaluated = \"hush-hush\"'); new Function('return \"hush-hush\"')()"],
    "committed",
  ],
];

/** Where it stands in a memory; -1 for nowhere. */
function find(memory: WebAssembly.Memory): number {
  const all = Buffer.from(memory.buffer);
  const forms = [Buffer.from(SECRET), Buffer.from(SECRET, "utf16le"), Buffer.from("hush_hush")];
  return Math.max(...forms.map((form) => all.indexOf(form)));
}

test.each(ENDS)("a session ended %s", async (_how, codes, ending) => {
  const before = engine.createMemory(32 << 20);
  if (ending === "committed") {
    expect((await run(before, KEEP)).kind).toBe("committed");
    // It is found where it is: this test can fail.
    expect(find(before.memory)).toBeGreaterThan(0);
  }
  for (const code of codes) expect((await run(before, code, 200)).kind).toBe(ending);
  const { memory } = before;
  engine.releaseMemory(before);
  const after = engine.createMemory(32 << 20);
  expect(after.memory).toBe(memory);
  expect(find(after.memory)).toBe(-1);
  const result = await run(after, "typeof text + typeof hush_" + "hush");
  expect(result.kind === "committed" && result.effects.map((effect) => "text" in effect && effect.text)).toEqual([
    '"undefinedundefined"',
  ]);
  engine.releaseMemory(after);
});

test("a memory is a fresh session each time, with entropy of its own", async () => {
  const drawn = new Set<unknown>();
  const memories = new Set<WebAssembly.Memory>();
  for (let i = 0; i < 3; i++) {
    const session = engine.createMemory(32 << 20);
    memories.add(session.memory);
    const result = await run(
      session,
      "Math.random() + ' ' + crypto.randomUUID() + (globalThis.n = (globalThis.n ?? 0) + 1)",
    );
    const [text] = result.kind === "committed" ? result.effects.map((effect) => "text" in effect && effect.text) : [];
    expect(text).toMatch(/^"0\.\d+ [-0-9a-f]{36}1"$/);
    drawn.add(text);
    engine.releaseMemory(session);
  }
  expect({ memories: memories.size, drawn: drawn.size }).toEqual({ memories: 1, drawn: 3 });
});

test("a copy in such a memory has nothing beyond what was copied", async () => {
  const origin = engine.createMemory(32 << 20);
  const image = engine.saveImage(origin);
  const { memory } = origin;
  engine.releaseMemory(origin);
  // Less than a session can have: none of what the memory was made ready with may stand in for the rest.
  const heapEnd = image.extent.heapEnd - 64 * 1024;
  const copy = await engine.createMemoryFrom({ ...image, extent: { ...image.extent, heapEnd } }, 32 << 20);
  expect(copy.memory).toBe(memory);
  expect(
    Buffer.from(memory.buffer)
      .subarray(heapEnd)
      .every((byte) => byte === 0),
  ).toBe(true);
  engine.releaseMemory(copy);
});

test("what an undone turn wrote is gone from its own session too", async () => {
  const session = engine.createMemory(32 << 20);
  await run(session, "var kept = 1");
  expect((await run(session, `${KEEP}; for (;;);`, 200)).kind).toBe("undone");
  const heap = Buffer.from(session.memory.buffer).subarray(5_333_088);
  expect(heap.indexOf(SECRET)).toBe(-1);
});

test("of the memories that were given back no more are kept than 64, whatever their sizes", () => {
  const sessions = Array.from({ length: 200 }, (_, i) => engine.createMemory((8 + i) << 20));
  const memories = new Set(sessions.map(({ memory }) => memory));
  for (const session of sessions) engine.releaseMemory(session);
  const again = Array.from({ length: 200 }, (_, i) => engine.createMemory((8 + i) << 20));
  expect(again.filter(({ memory }) => memories.has(memory)).length).toBe(64);
  for (const session of again) engine.releaseMemory(session);
});
