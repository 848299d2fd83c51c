/** What becomes of white space in the text of a template. */

export const WHITESPACE_MODES = ["all", "single", "oneline"] as const;
export type WhitespaceMode = (typeof WHITESPACE_MODES)[number];

/** A piece of text that holds a `<pre>` stays as it is, whatever the mode. */
export function squeezed(text: string, mode: WhitespaceMode): string {
  if (mode === "all" || text.includes("<pre>")) return text;
  if (mode === "oneline") return text.replace(/\s+/g, " ");
  return text.replace(/\s+/g, (run) => (run.includes("\n") ? "\n" : run.replace(/[\t ]+/g, " ")));
}
