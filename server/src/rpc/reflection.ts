/**
 * Server reflection, from the descriptors that buf built. (Fed by a loader that parses the files anew, the reflection
 * service breaks clients on map and optional fields.)
 */
import { readFileSync } from "node:fs";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { descriptorPath } from "@livescope/proto/descriptor";

const FILE_FIELD = (1 << 3) | WireType.LengthDelimited;

export function addReflection(server: Server): void {
  const fileDescriptorProtos = splitDescriptorSet(readFileSync(descriptorPath));
  const everything = { all: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos } };
  new ReflectionService(everything as never).addToServer(server);
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
