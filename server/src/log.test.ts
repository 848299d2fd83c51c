import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Log } from "./log.js";

test("a log loses the lines for which there is no room, and begins a new line after one that was cut", () => {
  const folder = mkdtempSync(join(tmpdir(), "livescope-log-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const log = new Log(pipe);
    const long = "x".repeat(5_000);
    for (let i = 0; i < 1_000; i++) log.write(`${long}\n`);
    const buffer = Buffer.alloc(1 << 20);
    const first = buffer.toString("utf8", 0, readSync(pipe, buffer));
    log.write("room again\n");
    const lines = (first + buffer.toString("utf8", 0, readSync(pipe, buffer))).split("\n");
    expect(lines.length).toBeLessThan(1_000);
    expect(lines.filter((line) => line !== long)).toEqual([expect.stringMatching(/^x*$/), "room again", ""]);
  } finally {
    closeSync(pipe);
    rmSync(folder, { recursive: true });
  }
});
