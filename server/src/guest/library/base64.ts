/** `atob` and `btoa`, as the HTML standard has them: base64 of strings whose units are bytes. */
import { requireArguments } from "../webidl.js";
import { DOMException } from "./dom-exception.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const INVALID = "InvalidCharacterError";

export const { btoa, atob } = {
  btoa(data: unknown): string {
    requireArguments(arguments.length, 1, "btoa");
    const text = `${data as string}`;
    let encoded = "";
    for (let at = 0; at < text.length; at += 3) {
      let bits = 0;
      for (let i = 0; i < 3; i++) {
        const unit = at + i < text.length ? text.charCodeAt(at + i) : 0;
        if (unit > 255) throw new DOMException("btoa: the string has a character beyond U+00FF", INVALID);
        bits = (bits << 8) | unit;
      }
      for (let i = 0; i < 4; i++) encoded += at + i - 1 < text.length ? ALPHABET[(bits >> (18 - 6 * i)) & 63] : "=";
    }
    return encoded;
  },

  atob(data: unknown): string {
    requireArguments(arguments.length, 1, "atob");
    let text = `${data as string}`.replace(/[\t\n\f\r ]/g, "");
    if (text.length % 4 === 0) text = text.replace(/={1,2}$/, "");
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) {
      throw new DOMException("atob: the string is not base64", INVALID);
    }
    let decoded = "";
    let bits = 0;
    let count = 0;
    for (let at = 0; at < text.length; at++) {
      bits = ((bits << 6) | ALPHABET.indexOf(text[at] as string)) & 0xffff;
      count += 6;
      if (count < 8) continue;
      count -= 8;
      decoded += String.fromCharCode((bits >> count) & 255);
    }
    return decoded;
  },
};
