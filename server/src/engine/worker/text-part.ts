/**
 * A part of a text, for as long as one likes. What `slice` gives of 13 characters and more is a reference into the whole text, which then
 * lives as long as the smallest of its parts; this has a text of its own.
 */
export function partOf(text: string, begin: number, end: number): string {
  const part = text.slice(begin, end);
  // To refer into a text that has just been joined the engine first makes it: with this part alone, and a character more.
  return part.length === text.length ? text : ` ${part}`.slice(1);
}
