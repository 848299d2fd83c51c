/** Starting a server from a program, as tests and embedders do. The command is main.ts. */
export { AddressError, type RunningServer, type StartOptions, startServer } from "./server.js";
