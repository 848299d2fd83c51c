/** Programs to let loose on a server, each of which follows from a seed and its number alone. */
import { Script } from "node:vm";
import { grammarExpression, grammarProgram } from "./grammar.js";
import { Random } from "./random.js";
import { tokensOf } from "./tokens.js";

export interface Program {
  readonly code: string;
  /** How it is run. */
  readonly mode: "script" | "module" | "atomic" | "handle";
}

const MODES: readonly Program["mode"][] = ["script", "script", "script", "script", "module", "atomic", "handle"];
/** Changes to one program of the corpus. */
const MOST_CHANGES = 4;
/** What does not parse does not run, so most that are changed are changed otherwise then, so many times. */
const TRIES = 6;

/** @param corpus programs to change; without them all are made by the grammar */
export function programOf(seed: number, number: number, corpus: readonly string[]): Program {
  const random = new Random(seed, number);
  const mode = random.one(MODES);
  const isGrown = corpus.length === 0 || random.onceIn(2);
  return { mode, code: isGrown ? grammarProgram(random, mode === "module") : changed(random, corpus) };
}

function changed(random: Random, corpus: readonly string[]): string {
  const mayBeBroken = random.onceIn(4);
  let code = changedOnce(random, corpus);
  for (let tries = 1; tries < TRIES && !mayBeBroken && !parses(code); tries++) code = changedOnce(random, corpus);
  return code;
}

function changedOnce(random: Random, corpus: readonly string[]): string {
  let tokens = tokensOf(random.one(corpus));
  for (let changes = 1 + random.below(MOST_CHANGES); changes > 0; changes--) tokens = change(random, tokens, corpus);
  return tokens.join("");
}

/** True if it could be a script. It is not run. */
function parses(code: string): boolean {
  try {
    new Script(`(async () => {${code}\n})`);
    return true;
  } catch {
    return false;
  }
}

function change(random: Random, tokens: readonly string[], corpus: readonly string[]): string[] {
  const at = random.below(tokens.length + 1);
  const run = 1 + random.below(4);
  const other = tokensOf(random.one(corpus));
  const from = random.below(other.length);
  const expression = grammarExpression(random);
  const [before, meant, after] = [tokens.slice(0, at), tokens.slice(at, at + run), tokens.slice(at + run)];
  return random.one([
    () => [...before, ...after],
    () => [...before, ...meant, ...meant, ...after],
    () => [...before, ...other.slice(from, from + run), ...after],
    () => [...before, ...other.slice(from)],
    () => [...before, ...meant, `(${expression})`, ...after],
    () => [...before, expression, ...after],
    () => [...tokens, ";\n", ...other],
    () => ["try{", ...tokens, "}catch{}\n", ...other],
    () =>
      tokens.map((token) =>
        /^\d/.test(token) && random.onceIn(2) ? random.one(["0", "1", "2**31", "1e9", "1n"]) : token,
      ),
  ])();
}
