/** Bytes on a bare connection: what no HTTP/2 library would send. */
import { connect } from "node:net";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TYPE = { headers: 1, resetStream: 3, settings: 4, goAway: 7, continuation: 9 } as const;
const FLAGS = { ack: 1, endStream: 1, endHeaders: 4 } as const;
const HEADER_BYTES = 9;

/** How a server ended what was sent: a stream was reset, the connection refused or closed, or it was answered. */
export type Ending = "STREAM_RST" | "GOAWAY" | "CONNECTION_CLOSED" | "ANSWERED";

/** Opens a stream with these headers, which need not be those a request must have. */
export function openStream(address: string, headers: Readonly<Record<string, string>>): Promise<Ending> {
  const opening = Buffer.concat([
    Buffer.from(PREFACE),
    encodeFrame(TYPE.settings, 0, 0, Buffer.alloc(0)),
    encodeFrame(TYPE.headers, FLAGS.endHeaders | FLAGS.endStream, 1, encodeHeaders(headers)),
  ]);
  return exchange(address, opening, (type, flags) => {
    if (type === TYPE.resetStream) return "STREAM_RST";
    if (type === TYPE.goAway) return "CONNECTION_CLOSED";
    return type === TYPE.headers && flags & FLAGS.endStream ? "ANSWERED" : undefined;
  });
}

/** Begins a request whose headers never end. */
export function floodWithHeaders(address: string, path: string): Promise<Ending> {
  const more = encodeFrame(TYPE.continuation, 0, 1, encodeHeaders({ "x-a": "a".repeat(100) }));
  const beginning = Buffer.concat([
    Buffer.from(PREFACE),
    encodeFrame(TYPE.settings, 0, 0, Buffer.alloc(0)),
    encodeFrame(TYPE.headers, 0, 1, encodeHeaders({ ":method": "POST", ":scheme": "http", ":path": path })),
  ]);
  const endingOf = (type: number): Ending | undefined => (type === TYPE.goAway ? "GOAWAY" : undefined);
  return exchange(address, beginning, endingOf, Buffer.concat(new Array<Buffer>(64).fill(more)));
}

/** Says this text instead of HTTP/2. */
export function sayText(address: string, text: string): Promise<Ending> {
  return exchange(address, Buffer.from(text), () => undefined);
}

/** Sends bytes and reads frames until one of them, or the end of the connection, says how it ended. */
function exchange(
  address: string,
  bytes: Buffer,
  endingOf: (type: number, flags: number) => Ending | undefined,
  /** Said again and again after it. */
  andSoOn?: Buffer,
): Promise<Ending> {
  const { hostname, port } = new URL(`http://${address}`);
  return new Promise((resolve) => {
    const sayMore = (): void => {
      if (andSoOn !== undefined && !socket.destroyed) socket.write(andSoOn, () => setImmediate(sayMore));
    };
    const socket = connect(Number(port), hostname, () => socket.write(bytes, sayMore));
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= HEADER_BYTES && rest.length >= HEADER_BYTES + rest.readUIntBE(0, 3)) {
        const ending = endingOf(rest.readUInt8(3), rest.readUInt8(4));
        rest = rest.subarray(HEADER_BYTES + rest.readUIntBE(0, 3));
        if (ending === undefined) continue;
        resolve(ending);
        socket.destroy();
      }
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve("CONNECTION_CLOSED"));
  });
}

function encodeFrame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** HPACK at its plainest: each header a literal that is not indexed. */
function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  return Buffer.concat(
    Object.entries(headers).map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  );
}
