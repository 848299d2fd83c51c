/** The command jq, by its WebAssembly build: reads all of standard input before it begins, and knows the flags below. */
import { readFileSync } from "node:fs";
import { raw } from "jq-wasm";

/** Flags that take values, and how many. */
const VALUES = { "--arg": 2, "--argjson": 2 };

const args = process.argv.slice(2);
const flags = [];
const rest = [];
while (args.length > 0) {
  const arg = args.shift();
  // What is written at once needs no flag to be unbuffered.
  if (arg === "--unbuffered") continue;
  if (arg.startsWith("-") && arg !== "-") flags.push(arg, ...args.splice(0, VALUES[arg] ?? 0));
  else rest.push(arg);
}
const [filter = ".", file = 0] = rest;
const input = flags.some((flag) => /^-[a-z]*n|^--null-input$/.test(flag)) ? "" : readFileSync(file, "utf8");
const { stdout, stderr, exitCode } = await raw(input, filter, flags);
if (stdout !== "") process.stdout.write(`${stdout}\n`);
if (stderr !== "") process.stderr.write(`${stderr}\n`);
process.exitCode = exitCode;
