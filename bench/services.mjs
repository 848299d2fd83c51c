/** The services that livescope is compared with, in the form grpc-js takes them. Their messages are bytes, not protobuf. */

const unary = (path, write, read) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: write,
  requestDeserialize: read,
  responseSerialize: write,
  responseDeserialize: read,
});

const asIs = (bytes) => bytes;

/** Two identical echoes: what differs between them is the noise of the measurement. */
export const ECHO = {
  echoA: unary("/bench.Echo/EchoA", asIs, asIs),
  echoB: unary("/bench.Echo/EchoB", asIs, asIs),
};

/** A scope as JSON text there, the changed scope as JSON text back. */
export const SHIP = {
  ship: unary(
    "/bench.Ship/Ship",
    (text) => Buffer.from(text),
    (bytes) => bytes.toString(),
  ),
};
