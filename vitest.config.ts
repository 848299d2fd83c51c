import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";
import { isLong } from "./test/support/is-long.js";

// Workspace packages are taken from their TypeScript sources: no build stands between an edit and its test.
const conditions = ["@livescope/source", ...defaultServerConditions];

// Each of some hundred processes of Node would read these certificates as it starts, and talks to loopback alone. The long run asks a
// registry, too.
if (!isLong) delete process.env.NODE_EXTRA_CA_CERTS;

/** What the SDK promises for both of its transports. */
const BOTH_TRANSPORTS = [
  "sdk/src/client.test.ts",
  "test/sdk/**/*.test.ts",
  "test/scope.test.ts",
  "test/timers.test.ts",
];

/** Of those, what is about sessions, whose executions say the same either way: over the second transport `.ci/run` alone runs them. */
const ABOUT_SESSIONS = [
  ...["console", "forks", "guests", "snapshots"].map((name) => `test/sdk/${name}.test.ts`),
  "test/scope.test.ts",
  "test/timers.test.ts",
];

const ignored = ["**/node_modules/**", "**/dist/**", "proto/gen/**"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    globalSetup: ["test/support/built-worker.ts"],
    // Processes, not threads: the tests of the engine start worker threads and end them in the middle of a turn.
    pool: "forks",
    // Files in turn share a process, which loads server and SDK once: they leave nothing behind that another file would notice.
    isolate: false,
    // One more than the cores of a small machine: many tests wait, for a deadline or for a process.
    maxWorkers: 3,
    // What repeats much takes some ten seconds where nothing runs beside it.
    testTimeout: isLong ? 90_000 : 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    // What is waited for comes as soon as a busy machine comes to it.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "all",
          include: ["proto/**/*.test.ts", "sdk/src/**/*.test.ts", "server/src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ignored,
        },
      },
      {
        extends: true,
        test: {
          name: "unary",
          include: BOTH_TRANSPORTS,
          exclude: isLong ? ignored : [...ignored, ...ABOUT_SESSIONS],
          env: { TEST_TRANSPORT: "unary" },
        },
      },
    ],
  },
});
