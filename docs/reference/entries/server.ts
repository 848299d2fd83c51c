/**
 * The server, for programs that start one themselves, such as tests. The command line is the command `livescope` of the package.
 *
 * @module @livescope/server
 */
export * from "@livescope/server";
