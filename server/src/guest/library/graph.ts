/**
 * The codec of the graph encoding (docs/protocol.md, Graphs): values that JSON cannot carry, as JSON text.
 *
 * It is loaded after guest code ran, so it touches nothing but its own code, language that no guest can change, and the
 * kernel's captured intrinsics, which it is given.
 */
import type { GraphKernel } from "../graph.js";
import { createDecoder, Malformed, MissingHandle } from "./graph/decode.js";
import { createEncoder, type EncodeGraph } from "./graph/encode.js";

export interface GraphCodec {
  readonly encode: EncodeGraph;
  /** @throws Malformed, MissingHandle before anything of the guest runs */
  readonly decode: (text: string) => unknown;
  readonly Malformed: typeof Malformed;
  readonly MissingHandle: typeof MissingHandle;
}

export interface GraphLibrary {
  install(kernel: GraphKernel): GraphCodec;
}

export function install(kernel: GraphKernel): GraphCodec {
  return { encode: createEncoder(kernel), decode: createDecoder(kernel), Malformed, MissingHandle };
}
