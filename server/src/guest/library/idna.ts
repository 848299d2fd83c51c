/** Domains beyond ASCII (UTS #46), by tr46. Its tables are the largest thing a session can load, so they stand alone. */
export { toASCII } from "tr46";
