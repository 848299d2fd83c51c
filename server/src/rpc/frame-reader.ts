import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { ClientFrame } from "@livescope/proto";

/** `repeated ClientFrame frames` of a ConnectRequest. */
const FRAMES = 1;

/**
 * Decodes the frames of one ConnectRequest a few at a time. All at once, what a message of the tiniest ones becomes has some thirty
 * times its bytes.
 */
export class FrameReader {
  readonly #reader: BinaryReader;
  #putBack: ClientFrame | undefined;

  /** @param message an encoded ConnectRequest */
  constructor(message: Uint8Array) {
    this.#reader = new BinaryReader(message);
  }

  /** Of the message, which is kept whole until its end. */
  get bytes(): number {
    return this.#reader.len;
  }

  get isAtEnd(): boolean {
    return this.#putBack === undefined && this.#reader.pos >= this.#reader.len;
  }

  /** The next one; undefined after the last. @throws Error where the bytes are none */
  next(): ClientFrame | undefined {
    const reader = this.#reader;
    const first = this.#putBack;
    this.#putBack = undefined;
    if (first !== undefined) return first;
    while (!this.isAtEnd) {
      const [field, type] = reader.tag();
      if (field === FRAMES && type === WireType.LengthDelimited) return this.#frame();
      // Of a later version of the contract.
      reader.skip(type, field);
    }
    return undefined;
  }

  /** It is the next one again. */
  putBack(frame: ClientFrame): void {
    this.#putBack = frame;
  }

  #frame(): ClientFrame {
    const reader = this.#reader;
    const length = reader.uint32();
    if (length > reader.len - reader.pos) throw new RangeError("premature EOF");
    return ClientFrame.decode(reader, length);
  }
}
