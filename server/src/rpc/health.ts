/** grpc.health.v1: which services the server answers for, and that it stops. */
import { status as Code, type Server, type ServerWritableStream } from "@grpc/grpc-js";
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from "@livescope/proto";

type Watch = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

const UNKNOWN = { code: Code.NOT_FOUND, details: "the server has no service of this name" };

export class Health {
  readonly #services: ReadonlySet<string>;
  #now: HealthCheckResponse = { status: Status.SERVING };
  /** Streams that are told when it changes: of services that there are. */
  readonly #watches = new Set<Watch>();

  /** @param services that are served from now on, by their names; the empty one is the server as a whole */
  constructor(services: readonly string[]) {
    this.#services = new Set(services);
  }

  addTo(server: Server): void {
    const service: HealthServer = {
      check: ({ request }, callback) => {
        if (this.#services.has(request.service)) callback(null, this.#now);
        else callback(UNKNOWN);
      },
      list: (_, callback) => {
        callback(null, { statuses: new Map([...this.#services].map((name) => [name, this.#now])) });
      },
      watch: (stream) => this.#watch(stream),
    };
    server.addService(HealthService, service);
  }

  /** The server stops. */
  end(): void {
    this.#now = { status: Status.NOT_SERVING };
    for (const stream of this.#watches) stream.write(this.#now);
  }

  /** Nothing is kept of who waits for a service that there is not: there never will be. Its stream stays, as the contract has it. */
  #watch(stream: Watch): void {
    if (!this.#services.has(stream.request.service)) return void stream.write({ status: Status.SERVICE_UNKNOWN });
    this.#watches.add(stream);
    stream.on("cancelled", () => void this.#watches.delete(stream));
    stream.write(this.#now);
  }
}
