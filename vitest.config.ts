import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

// Workspace packages are taken from their TypeScript sources: no build stands between an edit and its test.
const conditions = ["@livescope/source", ...defaultServerConditions];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["proto/**/*.test.ts", "sdk/src/**/*.test.ts", "server/src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**", "proto/gen/**"],
    // Processes, not threads: the tests of the engine start worker threads and end them in the middle of a turn.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
