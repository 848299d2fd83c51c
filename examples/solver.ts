/**
 * A solver that forks a warm session for each candidate, lets each go on by itself, and keeps the best. What was loaded and
 * computed before a fork is in every copy; nothing of it is sent or computed again.
 *
 *     npx tsx examples/solver.ts 127.0.0.1:50051
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { Livescope, type Session } from "@livescope/sdk";

/** Guest code: a round trip through cities, improved by turning parts of it around as long as it does not get longer. */
const PROBLEM = `
  const cities = places.map(([x, y]) => ({ x, y }));
  // Computed once: every fork has the table.
  const far = cities.map((a) => cities.map((b) => Math.hypot(a.x - b.x, a.y - b.y)));
  let tour = cities.map((_, i) => i);
  let tries = 0;

  function length(of = tour) {
    return of.reduce((sum, city, i) => sum + far[city][of[(i + 1) % of.length]], 0);
  }

  function improve(times) {
    let best = length();
    for (let i = 0; i < times; i++, tries++) {
      const from = Math.floor(Math.random() * tour.length);
      const to = Math.floor(Math.random() * tour.length);
      const [a, b] = from < to ? [from, to] : [to, from];
      const turned = [...tour.slice(0, a), ...tour.slice(a, b + 1).reverse(), ...tour.slice(b + 1)];
      const long = length(turned);
      if (long > best) continue;
      tour = turned;
      best = long;
    }
    return best;
  }
`;

export interface Solution {
  /** Indices of the places, in their order. */
  readonly tour: readonly number[];
  /** The length that the best candidate had after each round; the first is that of the places as they came. */
  readonly lengths: readonly number[];
  /** How many changes were tried on the way to this solution, and not beside it. */
  readonly tries: number;
}

/** @param places coordinates; @param candidates ways that are tried from where the last round ended */
export async function solve(
  client: Livescope,
  places: readonly (readonly [x: number, y: number])[],
  { rounds = 10, candidates = 4, steps = 200 } = {},
): Promise<Solution> {
  let best = await client.createSession({ globals: { places }, setup: PROBLEM });
  try {
    const lengths = [await best.call<number>("length")];
    for (let round = 0; round < rounds; round++) {
      const copies = await best.fork(candidates);
      try {
        // Each draws randomness of its own, so each goes another way.
        const reached = await Promise.all(copies.map((copy) => copy.call<number>("improve", [steps])));
        const shortest = Math.min(...reached);
        const [winner] = copies.splice(reached.indexOf(shortest), 1) as [Session];
        copies.push(best);
        best = winner;
        lengths.push(shortest);
      } finally {
        await Promise.all(copies.map((copy) => copy.delete()));
      }
    }
    return { lengths, ...(await best.execute<Pick<Solution, "tour" | "tries">>("({ tour, tries })")) };
  } finally {
    await best.delete();
  }
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  await using client = await Livescope.connect(argv[2] ?? "127.0.0.1:50051");
  const places = Array.from({ length: 40 }, () => [Math.random(), Math.random()] as const);
  const { lengths, tries } = await solve(client, places);
  console.log(lengths.map((length) => length.toFixed(2)).join(" "));
  console.log(`${tries} changes were tried on the way to the best of ${lengths.length - 1} rounds`);
}
