/**
 * Where the compiled contract is. A module of its own because only a server with reflection needs it: a client may be bundled
 * into one file, away from this package's.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/**
 * A serialised google.protobuf.FileDescriptorSet of every file of this package and of those they import, with comments, in
 * an order in which each file stands behind its imports.
 */
export const descriptorPath: URL = pathToFileURL(
  // By the package's own name, so that it is found from the sources and from what is built of them alike.
  createRequire(import.meta.url).resolve("@livescope/proto/descriptor.binpb"),
);
