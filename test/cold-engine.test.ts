/** Guest code while the engine is as it is in the first moments of a process: V8 has compiled it, and not optimized it yet. */
import { GuestError, Livescope } from "@livescope/sdk";
import { expect, test } from "vitest";
import { ServerProcess } from "./support/server-process.js";

const TIMES = 100_000;

/** Sources that nest deeper than any stack; parsing one takes the largest frames that the engine has. */
const NESTED: Record<string, string> = {
  parentheses: "'('.repeat(n) + '1' + ')'.repeat(n)",
  arrays: "'['.repeat(n) + ']'.repeat(n)",
  objects: "'('.repeat(1) + '{a:'.repeat(n) + '1' + '}'.repeat(n) + ')'",
  indices: "'a['.repeat(n) + '0' + ']'.repeat(n)",
  calls: "'f('.repeat(n) + ')'.repeat(n)",
  computed: "'({['.repeat(n) + '1' + ']: 1})'.repeat(n)",
  spreads: "'[...'.repeat(n) + '[]' + ']'.repeat(n)",
  patterns: "'['.repeat(n) + 'a' + ']'.repeat(n) + ' = 1'",
  functions: "'(() => '.repeat(n) + '1' + ')'.repeat(n)",
  templates: String.raw`'\x60$\x7b'.repeat(n) + '1' + '\x7d\x60'.repeat(n)`,
};

test("source that nests too deep is an error that guest code can catch", async () => {
  await using server = await ServerProcess.start([], { nodeFlags: ["--liftoff-only"] });
  await using client = await Livescope.connect(server.address);
  await using session = await client.createSession();
  for (const [what, source] of Object.entries(NESTED)) {
    const code = `const n = ${TIMES}; try { eval(${source}) } catch (error) { error.name }`;
    const name = await session.execute<string>(`{ ${code} }`).catch((error: GuestError) => error.message);
    expect(["SyntaxError", "InternalError", "RangeError"], `${what}: ${name}`).toContain(name);
    await expect(session.execute("JSON.parse('['.repeat(1e5))"), what).rejects.toBeInstanceOf(GuestError);
  }
  expect(server.log).toBe("");
});
