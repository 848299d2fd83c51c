/** What the peers serve behind grpc-js: JSON there, JSON back. */
const write = (value) => Buffer.from(JSON.stringify(value ?? null));
const read = (bytes) => JSON.parse(bytes.toString());

const unary = (name) => ({
  path: `/bench.Peer/${name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: write,
  requestDeserialize: read,
  responseSerialize: write,
  responseDeserialize: read,
});

export const PEER = {
  /** Code whose value is a function, which stays. */
  define: unary("Define"),
  /** Calls that function with one number. */
  call: unary("Call"),
  /** Runs code where the function lives. */
  execute: unary("Execute"),
  /** Runs code in a realm made for it. */
  once: unary("Once"),
};
