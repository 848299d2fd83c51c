/**
 * Server reflection, from the descriptors that buf built. (Fed by a loader that parses the files anew, the reflection
 * service breaks clients on map and optional fields.)
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type {
  handleBidiStreamingCall,
  MethodDefinition,
  Server,
  ServerDuplexStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { ReflectionService } from "@grpc/reflection";
import { descriptorPath } from "@livescope/proto/descriptor";

const FILE_FIELD = (1 << 3) | WireType.LengthDelimited;
/** Both have the same messages. */
const VERSIONS = ["v1", "v1alpha"];
const METHOD = "ServerReflectionInfo";

/** One version of the service, as grpc-js takes it. */
interface Service {
  readonly method: MethodDefinition<unknown, unknown>;
  readonly handle: handleBidiStreamingCall<unknown, unknown>;
}

/** Few clients ask for it, and reading the descriptors takes as long as starting the engine: it is done for the first who does. */
export function addReflection(server: Server): void {
  let made: readonly Service[] | undefined;
  for (const [i, version] of VERSIONS.entries()) {
    const service = (): Service => {
      made ??= makeServices();
      return made[i] as Service;
    };
    const definition: ServiceDefinition = {
      [METHOD]: {
        path: `/grpc.reflection.${version}.ServerReflection/${METHOD}`,
        requestStream: true,
        responseStream: true,
        requestSerialize: (value: unknown) => service().method.requestSerialize(value),
        requestDeserialize: (bytes: Buffer) => service().method.requestDeserialize(bytes),
        responseSerialize: (value: unknown) => service().method.responseSerialize(value),
        responseDeserialize: (bytes: Buffer) => service().method.responseDeserialize(bytes),
      },
    };
    const handle = (stream: ServerDuplexStream<unknown, unknown>): void => service().handle(stream);
    server.addService(definition, { [METHOD]: handle });
  }
}

/** In the order of VERSIONS. */
function makeServices(): Service[] {
  const library = createRequire(import.meta.url)("@grpc/reflection") as { ReflectionService: typeof ReflectionService };
  const fileDescriptorProtos = splitDescriptorSet(readFileSync(descriptorPath));
  const everything = { all: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos } };
  const services: Service[] = [];
  const addService = (definition: ServiceDefinition, implementation: UntypedServiceImplementation): void => {
    const handle = implementation[METHOD] as handleBidiStreamingCall<unknown, unknown>;
    services.push({ method: definition[METHOD] as MethodDefinition<unknown, unknown>, handle });
  };
  new library.ReflectionService(everything as never).addToServer({ addService });
  return services;
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
