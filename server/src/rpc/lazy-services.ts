/** Services that a library makes of contracts which it reads then. Few clients ask for them, so that is done for the first who does. */
import type { Server, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";

/** A service as a library has it. */
export interface MadeService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** A method as clients call it. */
export interface LazyMethod {
  /** In the definition and the implementation that are made. */
  readonly name: string;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** @param make is called once, with the first request */
export function addLazily(server: Server, methods: readonly LazyMethod[], make: () => MadeService): void {
  let made: MadeService | undefined;
  const service = (): MadeService => {
    made ??= make();
    return made;
  };
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const { name, ...method } of methods) {
    const its = () => service().definition[name] as ServiceDefinition[string];
    definition[name] = {
      ...method,
      requestSerialize: (value: unknown) => its().requestSerialize(value),
      requestDeserialize: (bytes: Buffer) => its().requestDeserialize(bytes),
      responseSerialize: (value: unknown) => its().responseSerialize(value),
      responseDeserialize: (bytes: Buffer) => its().responseDeserialize(bytes),
    };
    implementation[name] = (...call: unknown[]) =>
      (service().implementation[name] as unknown as (...call: unknown[]) => void)(...call);
  }
  server.addService(definition, implementation);
}

/** What a library adds to a server, in the order in which it does. */
export function servicesOf(library: { addToServer(server: Pick<Server, "addService">): void }): MadeService[] {
  const services: MadeService[] = [];
  library.addToServer({
    addService: (definition, implementation) => void services.push({ definition, implementation }),
  });
  return services;
}
