/** Where the tests of scripts find the programs that those use. */
import { readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isLong } from "./is-long.js";

/** A folder with a `jq` that is npm's alone. */
export const JQ_FOLDER = fileURLToPath(new URL("./bin", import.meta.url));

const BUF_PACKAGES = fileURLToPath(new URL("../../node_modules/@bufbuild", import.meta.url));
/** npm brings one for this platform. The `buf` in node_modules/.bin starts it by way of node, which takes longer than most calls. */
const [BUF_PACKAGE = "buf"] = readdirSync(BUF_PACKAGES).filter((name) => name.startsWith("buf-"));
const BUF_FOLDER = join(BUF_PACKAGES, BUF_PACKAGE, "bin");

/** The program `buf`. */
export const BUF = join(BUF_FOLDER, "buf");

/** A folder with an `npx` that leaves out npm. `.ci/run` takes the one that users have. */
const NPX_FOLDER = fileURLToPath(new URL("./stand-ins", import.meta.url));

/** The PATH of this process, with `buf` before it, and a `jq` at its end that is found where none is installed. */
export const SCRIPT_PATH = [...(isLong ? [] : [NPX_FOLDER]), BUF_FOLDER, process.env.PATH, JQ_FOLDER].join(delimiter);
