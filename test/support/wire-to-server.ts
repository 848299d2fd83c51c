/** A TCP connection to a server that a test can cut, as networks do. */
import { type AddressInfo, connect as connectSocket, createServer, type Server, type Socket } from "node:net";

/** Listens in front of a server and passes everything on, until it is cut. */
export class Wire {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  constructor(target: string) {
    const port = Number(target.split(":").at(-1));
    this.#server = createServer((socket) => {
      const onward = connectSocket(port, "127.0.0.1");
      for (const each of [socket, onward]) {
        this.#sockets.add(each);
        each.on("error", () => undefined).on("close", () => this.#sockets.delete(each));
      }
      socket.pipe(onward).pipe(socket);
    });
  }

  /** Where it listens, or did last. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** How many are connected to it now. */
  get connections(): number {
    return [...this.#sockets].filter(({ localPort }) => localPort === this.#port).length;
  }

  /** Gives the address to connect to in place of the server's: the same one if it was open before, and is closed. */
  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this.address;
  }

  /** Passes nothing on, until it goes on. */
  stall(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  goOn(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  /** Ends what is connected now, in the middle of whatever travels. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}
