/**
 * Random async programs run in a session and in Node, whose AsyncLocalStorage is the measure: each has to log the same entries in
 * the same order with the same bindings. Three run in the session at once, so that each entry also has to be found in the console of
 * the execution that wrote it.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { asyncProgram, GUEST_PRELUDE } from "./support/async-programs.js";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";

const served = withServer();

const AT_ONCE = 3;
/** `.ci/run` wants more of them. */
const PROGRAMS = isLong ? 1_500 : 100;

interface Program {
  readonly seed: number;
  readonly text: string;
  /** What is bound when it begins. */
  readonly bound: string;
}

function programsFrom(first: number, count: number): Program[] {
  return Array.from({ length: count }, (_, i) => {
    const seed = first + i;
    // Small ones are read more easily when they fail, large ones meet more.
    const size = seed % 3 === 0 ? { deepest: 4, most: 40 } : { deepest: 2, most: 8 };
    return { seed, text: asyncProgram(seed, size), bound: `e${seed % AT_ONCE}` };
  });
}

function inNode(programs: readonly Program[]): string[][] {
  const path = fileURLToPath(new URL("./support/async-programs-in-node.mjs", import.meta.url));
  const input = JSON.stringify(programs.map(({ bound, text }) => [bound, text]));
  const { stdout, stderr, status } = spawnSync(process.execPath, [path], { input, maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`node failed: ${stderr}`);
  return (JSON.parse(String(stdout)) as string[][]).map(untilEnd);
}

/** What comes after the program's own end nobody waits for. */
function untilEnd(lines: readonly string[]): string[] {
  return lines.slice(0, lines.findIndex((line) => line.startsWith("end:")) + 1);
}

test(`${PROGRAMS} random programs log in a session what they log in Node`, { timeout: 300_000 }, async () => {
  const programs = programsFrom(1, PROGRAMS);
  const expected = inNode(programs);
  const session = await served.client.createSession();
  await session.execute(`${GUEST_PRELUDE}; 0`);
  const inSession = async ({ text, bound }: Program): Promise<string[]> => {
    const { console } = await session.execute(`await (${text})()`, { locals: { x: bound } }).execution();
    return untilEnd(console.map((entry) => entry.text));
  };
  for (let i = 0; i < programs.length; i += AT_ONCE) {
    const together = programs.slice(i, i + AT_ONCE);
    const logged = await Promise.all(together.map(inSession));
    for (const [j, program] of together.entries()) {
      const seen = { seed: program.seed, lines: logged[j]?.join("\n") };
      expect(seen, program.text).toEqual({ seed: program.seed, lines: expected[i + j]?.join("\n") });
    }
  }
  expect(expected.flat().length).toBeGreaterThan(PROGRAMS * 10);
  await session.delete();
});
