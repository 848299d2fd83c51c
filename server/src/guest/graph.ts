/** The graph encoding, which carries what JSON cannot. Its codec is a library, loaded at first use. */
import { library } from "./libraries.js";
import type * as codec from "./library/graph.js";

export function graphCodec(): typeof codec {
  return library("graph") as unknown as typeof codec;
}
