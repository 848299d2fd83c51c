/** grpc.health.v1: which services the server answers for, and that it stops. */
import { createRequire } from "node:module";
import type { Server } from "@grpc/grpc-js";
import { HealthService } from "@livescope/proto";
import type * as Library from "grpc-health-check";
import { addLazily, type LazyMethod, type MadeService, servicesOf } from "./lazy-services.js";

type Status = "SERVING" | "NOT_SERVING";

export class Health {
  readonly #statuses: Record<string, Status>;
  /** Undefined until somebody has asked. */
  #made: Library.HealthImplementation | undefined;

  /** @param services that are served from now on, by their names; the empty one is the server as a whole */
  constructor(services: readonly string[]) {
    this.#statuses = Object.fromEntries(services.map((name) => [name, "SERVING" as const]));
  }

  addTo(server: Server): void {
    const methods = Object.entries(HealthService).map(([name, { path, requestStream, responseStream }]): LazyMethod => {
      return { name, path, requestStream, responseStream };
    });
    addLazily(server, methods, () => this.#make());
  }

  /** The server stops. */
  end(): void {
    for (const name of Object.keys(this.#statuses)) {
      this.#statuses[name] = "NOT_SERVING";
      this.#made?.setStatus(name, "NOT_SERVING");
    }
  }

  #make(): MadeService {
    // Its contract is parsed as it is loaded, which takes a fifth of what the server takes to start.
    const { HealthImplementation } = createRequire(import.meta.url)("grpc-health-check") as typeof Library;
    this.#made = new HealthImplementation({ ...this.#statuses });
    const [service] = servicesOf(this.#made as never);
    // Its methods are named as in the contract.
    const { definition, implementation } = service as MadeService;
    const lower = <T>(of: Readonly<Record<string, T>>) =>
      Object.fromEntries(Object.entries(of).map(([name, value]) => [name.toLowerCase(), value]));
    return { definition: lower(definition), implementation: lower(implementation) };
  }
}
