/**
 * The codec of the graph encoding (docs/protocol.md, Graphs): values that JSON cannot carry, as JSON text. The kernel relies
 * on it, so it follows the rules of intrinsics.ts.
 */
export { decodeGraph, Malformed, MissingHandle } from "./graph/decode.js";
export { encodeGraph } from "./graph/encode.js";
