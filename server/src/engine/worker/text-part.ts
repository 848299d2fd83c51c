/**
 * A part of a text, for as long as one likes: it holds no more than twice its own length. What `slice` gives of 13 characters and more
 * is a reference into the whole text, which then lives as long as the smallest of its parts.
 */
export function partOf(text: string, begin: number, end: number): string {
  const part = text.slice(begin, end);
  // Of a text that has just been joined the engine first makes one that it can refer into: one of its own, longer by a character.
  return part.length * 2 >= text.length ? part : ` ${part}`.slice(1);
}
