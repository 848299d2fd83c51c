/** Turns measurements into tables: on the terminal as they come, and as a file of this folder at the end. */
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";

export const microseconds = (milliseconds) => `${Math.round(milliseconds * 1000).toLocaleString("en")} µs`;
export const count = (number) => Math.round(number).toLocaleString("en");
export const kibibytes = (bytes) => `${Math.round(bytes / 1024).toLocaleString("en")} KiB`;
export const times = (ratio) => (ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2));
/** A ratio with the range of the middle half of its rounds. */
export const spread = ({ median, lower, upper }) => `${times(median)} (${times(lower)}-${times(upper)})`;
export const cpu = (block) =>
  Number.isNaN(block.cpu) ? "n/a" : `${count(block.cpu)} µs (${count(block.mainCpu)} on main)`;

/** The columns that most tables share. */
export const columns = (what) => [
  what,
  "p50",
  "ratio to echo",
  "A/A",
  "per second",
  "ratio to echo",
  "server CPU each",
];

/** What one target says in these columns. */
export function rowOf(measured, name, label = name) {
  const block = measured.of(name);
  return [
    label,
    microseconds(block.p50),
    spread(measured.ratio(name, "echoA")),
    noiseOf(measured),
    count(block.perSecond),
    spread(measured.ratio(name, "echoA", "perSecond")),
    cpu(block),
  ];
}

/** How much two identical echoes differed. */
export const noiseOf = (measured) => spread(measured.ratio("echoB", "echoA"));

export class Report {
  #parts = [];
  #goals = [];

  /** A heading, and what is to be known about the table below it. */
  section(title, ...lines) {
    this.#add("", `## ${title}`, "", ...(lines.length === 0 ? [] : [...lines, ""]));
  }

  /** A paragraph between tables. */
  note(...lines) {
    this.#add("", ...lines, "");
  }

  /** @param {readonly (readonly string[])[]} rows the first names the columns */
  table(rows) {
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
    const line = (row, fill = " ") => `| ${row.map((cell, i) => cell.padEnd(widths[i], fill)).join(" | ")} |`;
    const [head, ...body] = rows;
    this.#add(
      line(head),
      line(
        widths.map(() => "-"),
        "-",
      ),
      ...body.map((row) => line(row)),
    );
  }

  /** A figure that the project set itself, reached when `value` is on the right side of `limit`. */
  goal(what, value, comparison, limit, { unit = "", noise = "" } = {}) {
    const reached = comparison === "at most" ? value <= limit : value >= limit;
    const figure = unit === "KiB" ? value.toFixed(0) : times(value);
    this.#goals.push([
      what,
      `${comparison} ${limit.toLocaleString("en")} ${unit}`.trim(),
      `${figure} ${unit}`.trim(),
      noise,
      reached ? "pass" : "FAIL",
    ]);
  }

  goals() {
    this.section("Goals");
    this.table([["goal", "limit", "measured", "A/A", ""], ...this.#goals]);
  }

  /**
   * @param {{ plan: string, spinners: boolean, same?: string }} run `same`: what A/A compares, where that is no echoes
   * @param file in this folder
   * @param command what writes it
   */
  write({ plan, spinners, same = "empty echoes" }, file = "results.md", command = "npm run bench") {
    const [{ model }] = cpus();
    const facts = [
      `${new Date().toISOString().slice(0, 10)}`,
      `${model}, ${availableParallelism()} cores, ${count(totalmem() / 2 ** 30)} GiB`,
      `Node ${process.versions.node} on ${process.platform}`,
      `${plan}; cores kept awake by idle-class spinners: ${spinners ? "yes" : "no"}`,
    ];
    const text = [
      "# Benchmark results",
      "",
      `Written by \`${command}\`. Everything but memory was measured by one client that alternates blocks over all rows of`,
      "a table. Ratios are taken within each round; what stands here is their median, and in brackets the middle half of the",
      `rounds. A/A is the ratio of two identical ${same} in the same rounds: what differs from 1 there is noise here too.`,
      "",
      ...facts.map((fact) => `* ${fact}`),
      ...this.#parts,
      "",
    ].join("\n");
    writeFileSync(new URL(file, import.meta.url), text);
  }

  #add(...lines) {
    this.#parts.push(...lines);
    for (const line of lines) process.stdout.write(`${line}\n`);
  }
}
