/** `TextEncoder` and `TextDecoder` of the Encoding standard, over @exodus/bytes: all but the legacy multi-byte encodings. */
import { TextDecoder as Decoder, TextEncoder as Encoder } from "@exodus/bytes/encoding-lite.js";
import { slice } from "../intrinsics.js";
import { asInterface, requireArguments, toDictionary } from "../webidl.js";

class TextEncoder {
  readonly #encoder = new Encoder();

  get encoding(): string {
    void this.#encoder;
    return "utf-8";
  }

  encode(input: unknown = ""): Uint8Array {
    return this.#encoder.encode(`${input as string}`);
  }

  encodeInto(source: unknown, destination: Uint8Array): { read: number; written: number } {
    requireArguments(arguments.length, 2, "encodeInto");
    return this.#encoder.encodeInto(`${source as string}`, destination);
  }
}

asInterface(TextEncoder, "TextEncoder");

/** Encodings that the library knows the names of, and has no tables for: it would be noticed when something is decoded. */
const MULTI_BYTE = {
  __proto__: null,
  big5: true,
  "euc-jp": true,
  "euc-kr": true,
  gb18030: true,
  gbk: true,
  "iso-2022-jp": true,
  shift_jis: true,
} as unknown as Readonly<Record<string, true | undefined>>;

function decoderOf(
  name: string,
  options: { readonly fatal: boolean; readonly ignoreBOM: boolean },
): InstanceType<typeof Decoder> {
  try {
    const decoder = new Decoder(name, options);
    if (MULTI_BYTE[decoder.encoding] === undefined) return decoder;
  } catch {
    // Told below.
  }
  throw new RangeError(`TextDecoder: the encoding ${slice(name, 0, 100)} is not known here`);
}

class TextDecoder {
  readonly #decoder: InstanceType<typeof Decoder>;

  constructor(label: unknown = "utf-8", options: unknown = undefined) {
    const { fatal, ignoreBOM } = toDictionary(options, "The options of a TextDecoder");
    this.#decoder = decoderOf(`${label as string}`, { fatal: !!fatal, ignoreBOM: !!ignoreBOM });
  }

  get encoding(): string {
    return this.#decoder.encoding;
  }

  get fatal(): boolean {
    return this.#decoder.fatal;
  }

  get ignoreBOM(): boolean {
    return this.#decoder.ignoreBOM;
  }

  decode(input: unknown = undefined, options: unknown = undefined): string {
    const decoder = this.#decoder;
    const { stream } = toDictionary(options, "The options of decode");
    return decoder.decode(input as ArrayBuffer | undefined, { stream: !!stream });
  }
}

asInterface(TextDecoder, "TextDecoder");

export { TextDecoder, TextEncoder };
