/** The services that livescope is compared with, in the form grpc-js takes them. Their messages are bytes, not protobuf. */

const method = (path, isStream, write, read) => ({
  path,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: write,
  requestDeserialize: read,
  responseSerialize: write,
  responseDeserialize: read,
});

const asIs = (bytes) => bytes;

/** The floor: what a call costs where nothing is done for it. */
export const ECHO = {
  /** Two that are identical: what differs between them is the noise of the measurement. */
  echoA: method("/bench.Echo/EchoA", false, asIs, asIs),
  echoB: method("/bench.Echo/EchoB", false, asIs, asIs),
  /** Every message is sent back on its stream. */
  stream: method("/bench.Echo/Stream", true, asIs, asIs),
  /** The same, and each is posted to a thread and back before. */
  thread: method("/bench.Echo/Thread", true, asIs, asIs),
};

/** A scope as JSON text there, the changed scope as JSON text back. */
export const SHIP = {
  ship: method(
    "/bench.Ship/Ship",
    false,
    (text) => Buffer.from(text),
    (bytes) => bytes.toString(),
  ),
};
