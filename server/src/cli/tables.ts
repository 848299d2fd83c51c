/** Tables, and numbers as people read them. */

const BYTES_PER_STEP = 1_024;
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB"];
/** In milliseconds, the largest first. */
const TIME_UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** Columns as wide as their widest cell. @param rows each as long as `head` */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => lines.reduce((most, cells) => Math.max(most, cells[column]?.length ?? 0), 0));
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Such as `448 KiB`, `1.5 MiB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= BYTES_PER_STEP && unit < BYTE_UNITS.length - 1) {
    value /= BYTES_PER_STEP;
    unit++;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${BYTE_UNITS[unit]}`;
}

/** Such as `3 m`: in the largest unit of which there is one. */
export function span(milliseconds: number): string {
  const [unit, size] = TIME_UNITS.find(([, least]) => milliseconds >= least) ?? ["s", 1_000];
  return `${Math.max(0, Math.floor(milliseconds / size))} ${unit}`;
}

/** How long ago it was; empty where that is not known. */
export function ago(time: Date | undefined): string {
  return time === undefined ? "" : span(Date.now() - time.getTime());
}

/** `name=value` of each, by name. Clients choose them: a line feed is written as an escape, so that none looks like a row of its own. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ")
    .replace(/[\n\t]/g, (found) => (found === "\n" ? "\\n" : "\\t"));
}
