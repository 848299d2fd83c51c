/** The generated clients with promises, for what the SDK would not send. */
import { type Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { SandboxServiceClient, SessionServiceClient, SnapshotServiceClient } from "@livescope/proto";

type Method<Request, Response> = (
  request: Request,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Sends one request and waits for its answer; rejects with the ServiceError. */
export function send<Request, Response>(
  client: Client,
  method: Method<Request, Response>,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method.call(client, request, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

export interface Clients {
  readonly sandbox: SandboxServiceClient;
  readonly sessions: SessionServiceClient;
  readonly snapshots: SnapshotServiceClient;
  close(): void;
}

export function connectClients(address: string): Clients {
  const insecure = credentials.createInsecure();
  const sandbox = new SandboxServiceClient(address, insecure);
  const sessions = new SessionServiceClient(address, insecure);
  const snapshots = new SnapshotServiceClient(address, insecure);
  return {
    sandbox,
    sessions,
    snapshots,
    close: () => {
      for (const client of [sandbox, sessions, snapshots]) client.close();
    },
  };
}
