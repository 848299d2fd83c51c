/**
 * How columns are read: as what they are, whatever damage has made of them. Texts are read as bytes, since the library ends the
 * process where a text is no UTF-8.
 */

/** @param name what it is called in a row; absent: as its column */
export function number(column: string, name = column): string {
  return `CAST(${column} AS INTEGER) AS ${name}`;
}

/** Gives an ArrayBuffer. @param name as of `number` */
export function bytes(column: string, name = column): string {
  return `CAST(${column} AS BLOB) AS ${name}`;
}

/** What was read as bytes. */
export function textOf(found: ArrayBuffer): string {
  return Buffer.from(found).toString();
}
