/**
 * Brings npm packages into sessions; the command `livescope bundle` does the same.
 *
 * @module @livescope/server/bundle
 */
export * from "@livescope/server/bundle";
