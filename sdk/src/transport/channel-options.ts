import type { ChannelOptions } from "@grpc/grpc-js";
import { SandboxServiceService } from "@livescope/proto";

// Every unary call that this package sends may be repeated: those that change something carry a request id, or are such that
// a second time changes nothing. gRPC itself repeats them, with a jitter of a fifth, unless an answer has begun to come.
const serviceConfig = {
  loadBalancingConfig: [],
  methodConfig: [
    // The question by which `connect` finds out whether there is a server has to fail at once.
    { name: [methodName(SandboxServiceService.getServerInfo)] },
    // What runs on a stream must not be run again behind the back of whoever reads it.
    { name: [methodName(SandboxServiceService.connect), methodName(SandboxServiceService.run)] },
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "1s",
        backoffMultiplier: 2.5,
        // No server answers CANCELLED: one that stops resets what it has not answered, as does what is between.
        retryableStatusCodes: ["UNAVAILABLE", "CANCELLED"],
      },
    },
  ],
};

/** How a channel connects and repeats. @param reconnectTimeout how long calls wait for a connection, in milliseconds */
export function channelOptions(address: string, reconnectTimeout: number): ChannelOptions {
  // A call that comes when the server is back has to see a connection tried within its own wait, and more than once.
  const longestBackoff = Math.max(10, Math.min(2_000, Math.floor(reconnectTimeout / 4)));
  return {
    "grpc.service_config": JSON.stringify(serviceConfig),
    "grpc.service_config_disable_resolution": 1,
    // A connection is tried again before the retries of a call are used up, and soon after a server has come back.
    "grpc.initial_reconnect_backoff_ms": Math.min(100, longestBackoff),
    "grpc.max_reconnect_backoff_ms": longestBackoff,
    // A call may wait long for its answer: without pings one whose connection has silently gone would wait for ever.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    // What is on this machine is not asked for elsewhere, least of all in plain text, whatever the variables for proxies say.
    "grpc.enable_http_proxy": isLoopback(address) ? 0 : 1,
  };
}

const loopback =
  /^(?:unix:.*|(?:dns:(?:\/\/\/)?|ipv4:|ipv6:)?(?:(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?|::1))$/i;

/** Says whether an address, in any of the forms gRPC knows, cannot lead off this machine. */
export function isLoopback(address: string): boolean {
  return loopback.test(address);
}

function methodName({ path }: { path: string }): { service: string; method: string } {
  const [, service = "", method = ""] = path.split("/");
  return { service, method };
}
