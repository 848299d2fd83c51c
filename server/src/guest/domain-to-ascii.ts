/** Stands for tr46 in whatwg-url: most domains are plain ASCII, for which the tables are not worth loading. */
import { library } from "./libraries.js";

type ToASCII = (domain: string, options: object) => string | null;

export function toASCII(domain: string, options: object): string | null {
  const isPlain = /^[\0-\x7f]*$/.test(domain) && !/(^|\.)xn--/i.test(domain);
  return isPlain ? domain.toLowerCase() : (library("idna").toASCII as ToASCII)(domain, options);
}
