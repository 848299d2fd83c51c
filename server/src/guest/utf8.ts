/** Stands for the encoder and decoder that whatwg-url makes of the realm's own classes. */
export {
  utf8fromStringLoose as utf8Encode,
  utf8toStringLoose as utf8DecodeWithoutBOM,
} from "@exodus/bytes/utf8.js";
