/** The scripts of examples/ do what they say, and fail where they have to. */
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "@livescope/server";
import { describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { type Finished, run } from "./support/run.js";
import { JQ_FOLDER, SCRIPT_PATH } from "./support/script-path.js";
import { withServer } from "./support/server.js";

const served = withServer();

/** Each step of a script is some processes. */
const SCRIPT_TIMEOUT = 60_000;

/** A grpcurl on PATH, or the one that GRPCURL names, if there is any. */
const GRPCURL = process.env.GRPCURL ?? "grpcurl";
const hasGrpcurl = (await run(GRPCURL, ["--version"])).exitCode === 0;

function script(name: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const path = fileURLToPath(new URL(`../examples/scripts/${name}`, import.meta.url));
  return run(path, [], { PATH: SCRIPT_PATH, ADDRESS: served.server.address, ...env });
}

/** What each script prints, and says about failures; errors.sh ends by one that it does not take care of. */
const SCRIPTS = {
  "workflow.sh": {
    fails: false,
    stdout: `after one apple: {"apples":2,"pears":5}
rendered: in stock: 2 apples 5 pears
fork two has more left: {"apples":0,"pears":5}
the session itself: {"apples":2,"pears":5}
`,
    stderr: "",
  },
  "errors.sh": {
    fails: true,
    stdout: `7
it threw, and failed with 1
8
it was stopped, and failed with 1
8
expected: SyntaxError in phase EXCEPTION_PHASE_EVALUATE
refused: SESSION_DELETED
refused: SESSION_DELETED
`,
    stderr: `TypeError: cannot read property 'x' of null
    at bad (rules.js:1:33)
    at top level (rules.js:1:41)
STOP_REASON_TIMEOUT: the execution ran into its time limit; raise limits.timeout or the deadline of the call if it needs longer
`,
  },
  "stream.sh": {
    fails: false,
    stdout: `${[2, 3, 5, 7, 11, 13, 17, 19, "it returned: enough"].map((prime) => `prime: ${prime}\n`).join("")}several pieces
48890 characters, row 0, row 1, ...
log: begin
warn: odd
1
and then it failed
`,
    stderr: "",
  },
  "watch.sh": {
    fails: false,
    stdout: `the session is active
first printed: hello
first gave: 42
second threw: nobody is not defined
`,
    stderr: "",
  },
} as const;

type Name = keyof typeof SCRIPTS;
const NAMES = Object.keys(SCRIPTS) as Name[];

async function expectToDoWhatItSays(name: Name, env: NodeJS.ProcessEnv): Promise<void> {
  const { exitCode, stdout, stderr } = await script(name, env);
  const { fails, ...printed } = SCRIPTS[name];
  expect({ stdout, stderr }).toEqual(printed);
  expect(exitCode !== 0, `exit code ${exitCode}`).toBe(fails);
  // Whatever a script makes, it deletes.
  expect(await served.client.listSessions().next()).toMatchObject({ done: true });
}

describe("by buf curl", () => {
  test.each(NAMES)("%s does what it says", { timeout: SCRIPT_TIMEOUT }, (name) => expectToDoWhatItSays(name, {}));

  // Where none is installed it did so above.
  test.runIf(isLong)(
    "watch.sh does so with the jq that stands in where none is installed (with LIVESCOPE_LONG)",
    { timeout: SCRIPT_TIMEOUT },
    () => expectToDoWhatItSays("watch.sh", { PATH: [JQ_FOLDER, SCRIPT_PATH].join(delimiter) }),
  );
});

describe.skipIf(!hasGrpcurl)("by grpcurl, where it is installed (or GRPCURL names it),", () => {
  test.each(NAMES)("%s does what it says", { timeout: SCRIPT_TIMEOUT }, (name) =>
    expectToDoWhatItSays(name, { CURL: GRPCURL }),
  );
});

test("a script fails where nobody answers", async () => {
  const gone = await startServer({ workers: 1 });
  await gone.close();
  expect(await script("workflow.sh", { ADDRESS: gone.address })).toMatchObject({ exitCode: 1, stdout: "" });
});
