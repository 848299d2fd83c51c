/** `crypto.getRandomValues` and `crypto.randomUUID`, out of the entropy that the host gave this session. */
import { ChaChaStream } from "../chacha.js";
import { keyWord, seedGeneration } from "../host-asks.js";
import { typedArrayTag } from "../methods.js";
import { asInterface, requireArguments } from "../webidl.js";
import { DOMException } from "./dom-exception.js";

const BY_PLATFORM = Symbol();
const MOST_BYTES = 65_536;
const INTEGERS = /^(Big)?(Int|Uint)(8|16|32|64)(Clamped)?Array$/;

let generation = 0;
let stream: ChaChaStream;

/** A fork or a restored copy is given a key of its own: it must not draw what the other draws. */
function randomByte(): number {
  if (generation !== seedGeneration()) {
    generation = seedGeneration();
    stream = new ChaChaStream(keyWord);
  }
  return stream.nextByte();
}

class Crypto {
  readonly #isCrypto = true;

  constructor() {
    if ((arguments[0] as unknown) !== BY_PLATFORM) throw new TypeError("Illegal constructor");
  }

  getRandomValues<T>(array: T): T {
    void this.#isCrypto;
    requireArguments(arguments.length, 1, "getRandomValues");
    if (!ArrayBuffer.isView(array)) throw new TypeError("getRandomValues takes a typed array");
    if (!INTEGERS.test(typedArrayTag(array) ?? "")) {
      throw new DOMException("getRandomValues takes an array of integers", "TypeMismatchError");
    }
    if (array.byteLength > MOST_BYTES) {
      throw new DOMException(`getRandomValues gives at most ${MOST_BYTES} bytes at once`, "QuotaExceededError");
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = randomByte();
    return array;
  }

  randomUUID(): string {
    void this.#isCrypto;
    let uuid = "";
    for (let i = 0; i < 16; i++) {
      let byte = randomByte();
      if (i === 6) byte = (byte & 0x0f) | 0x40;
      if (i === 8) byte = (byte & 0x3f) | 0x80;
      if (i === 4 || i === 6 || i === 8 || i === 10) uuid += "-";
      uuid += (byte + 256).toString(16).slice(1);
    }
    return uuid;
  }
}

asInterface(Crypto, "Crypto");

const crypto = Reflect.construct(Crypto, [BY_PLATFORM]) as Crypto;

export { Crypto, crypto };
