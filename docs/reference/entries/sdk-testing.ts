/**
 * A server within a test: `startTestServer()` gives one.
 *
 * @module @livescope/sdk/testing
 */
export * from "@livescope/sdk/testing";
