/** Where the tests of scripts find jq. */
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";

/** A folder with a `jq` that is npm's alone. */
export const JQ_FOLDER = fileURLToPath(new URL("./bin", import.meta.url));

/** The PATH of this process, with a jq at its end that is found where none is installed. */
export const PATH_WITH_JQ = [process.env.PATH, JQ_FOLDER].join(delimiter);
