/** Makes a program that fails smaller, as long as it fails in the same way. */
import { statementsOf, tokensOf } from "./tokens.js";

/**
 * Takes statements and then tokens out, in halves first and one by one in the end, so that nothing that is left could go alone.
 *
 * @param fails tells whether a smaller text still fails
 * @param most how many texts to try; what was reached by then is given
 */
export async function reduce(code: string, fails: (code: string) => Promise<boolean>, most = 400): Promise<string> {
  let left = most;
  const stillFails = async (parts: readonly string[]): Promise<boolean> => left-- > 0 && (await fails(parts.join("")));
  const byStatements = await without(statementsOf(code), stillFails);
  return (await without(tokensOf(byStatements.join("")), stillFails)).join("");
}

async function without(parts: string[], fails: (parts: readonly string[]) => Promise<boolean>): Promise<string[]> {
  let rest = parts;
  for (let size = Math.ceil(rest.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let isSmaller = true; isSmaller; ) {
      isSmaller = false;
      for (let at = 0; at < rest.length; ) {
        const smaller = [...rest.slice(0, at), ...rest.slice(at + size)];
        if (await fails(smaller)) {
          rest = smaller;
          isSmaller = size === 1;
        } else at += size;
      }
    }
  }
  return rest;
}
