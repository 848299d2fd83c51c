/** The examples do what they say. */
import { describe, expect, test } from "vitest";
import { solve } from "../examples/solver.js";
import { run } from "./support/run.js";
import { withServer } from "./support/server.js";

const served = withServer();

/** Places on a circle, in an order that crosses it again and again: the best round trip is known. */
const COUNT = 12;
const PLACES = Array.from({ length: COUNT }, (_, i) => {
  const angle = (2 * Math.PI * ((i * 5) % COUNT)) / COUNT;
  return [Math.cos(angle), Math.sin(angle)] as const;
});
const SHORTEST = 2 * COUNT * Math.sin(Math.PI / COUNT);

describe("the solver", () => {
  test("gets to a better tour by keeping the best of its forks, and leaves no session", async () => {
    const { tour, lengths, tries } = await solve(served.client, PLACES, { rounds: 6, candidates: 3, steps: 300 });
    expect([...tour].sort((a, b) => a - b)).toEqual(PLACES.map((_, i) => i));
    for (let round = 1; round < lengths.length; round++) {
      expect(lengths[round]).toBeLessThanOrEqual(lengths[round - 1] as number);
    }
    const length = tour.reduce((sum, city, i) => {
      const [a, b] = [PLACES[city], PLACES[tour[(i + 1) % COUNT] as number]] as const;
      return sum + Math.hypot((a?.[0] ?? 0) - (b?.[0] ?? 0), (a?.[1] ?? 0) - (b?.[1] ?? 0));
    }, 0);
    expect(lengths.at(-1)).toBeCloseTo(length);
    expect(lengths[0]).toBeGreaterThan(3 * SHORTEST);
    expect(length).toBeLessThan(1.5 * SHORTEST);
    // Those of the forks that were kept: each round went on from where the one before ended.
    expect(tries).toBe(6 * 300);
    expect(await served.client.listSessions().next()).toMatchObject({ done: true });
  });

  test("runs by itself", async () => {
    const { exitCode, stdout, stderr } = await run("npx", ["tsx", "examples/solver.ts", served.server.address]);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toContain("2000 changes were tried on the way to the best of 10 rounds");
  });
});
