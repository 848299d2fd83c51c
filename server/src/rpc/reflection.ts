/**
 * Server reflection, from the descriptors that buf built. (Fed by a loader that parses the files anew, the reflection
 * service breaks clients on map and optional fields.)
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { handleBidiStreamingCall, Server } from "@grpc/grpc-js";
import type { ReflectionService } from "@grpc/reflection";
import { descriptorPath } from "@livescope/proto/descriptor";
import { readOneAhead } from "./arriving-messages.js";
import { addLazily, type MadeService, servicesOf } from "./lazy-services.js";

const FILE_FIELD = (1 << 3) | WireType.LengthDelimited;
/** Both have the same messages. */
const VERSIONS = ["v1", "v1alpha"];
const METHOD = "ServerReflectionInfo";

/** Reading the descriptors takes as long as starting the engine. */
export function addReflection(server: Server): void {
  let made: readonly MadeService[] | undefined;
  for (const [i, version] of VERSIONS.entries()) {
    const path = `/grpc.reflection.${version}.ServerReflection/${METHOD}`;
    addLazily(server, [{ name: METHOD, path, requestStream: true, responseStream: true }], () => {
      made ??= makeServices();
      return made[i] as MadeService;
    });
  }
}

/** In the order of VERSIONS. */
function makeServices(): MadeService[] {
  const library = createRequire(import.meta.url)("@grpc/reflection") as { ReflectionService: typeof ReflectionService };
  const fileDescriptorProtos = splitDescriptorSet(readFileSync(descriptorPath));
  const everything = { all: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos } };
  return servicesOf(new library.ReflectionService(everything as never)).map(readAsTaken);
}

/** The library reads whatever comes, and what a client does not take of its answers would wait here without end. */
function readAsTaken({ definition, implementation }: MadeService): MadeService {
  const answer = implementation[METHOD] as handleBidiStreamingCall<unknown, unknown>;
  const handler: typeof answer = (stream) => {
    readOneAhead(stream);
    answer(stream);
    // After the library's own, so the answer has been written.
    stream.on("data", () => {
      if (!stream.writableNeedDrain) return;
      stream.pause();
      stream.once("drain", () => stream.resume());
    });
  };
  return { definition, implementation: { ...implementation, [METHOD]: handler } };
}

/** The files of a google.protobuf.FileDescriptorSet, still encoded. */
function splitDescriptorSet(bytes: Uint8Array): Buffer[] {
  const reader = new BinaryReader(bytes);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (((field << 3) | type) === FILE_FIELD) files.push(Buffer.from(reader.bytes()));
    else reader.skip(type);
  }
  return files;
}
