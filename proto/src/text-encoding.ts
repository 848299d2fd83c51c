/**
 * Makes every protobuf string that is read or written in this process valid Unicode. The wire library's own decoder puts
 * U+FFFD in place of bytes that are no UTF-8, which would change a value silently; after importing this module a message with
 * such bytes fails to decode.
 */
import { configureTextEncoding } from "@bufbuild/protobuf/wire";

const encoder = new TextEncoder();
// A leading U+FEFF is part of the string, not a byte-order mark.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const loneSurrogate = /\p{Surrogate}/u;

configureTextEncoding({
  encodeUtf8: (text) => encoder.encode(text),
  encodeUtf8Into: (text, destination) => encoder.encodeInto(text, destination),
  decodeUtf8: (bytes) => decoder.decode(bytes),
  checkUtf8: (text) => !loneSurrogate.test(text),
});
