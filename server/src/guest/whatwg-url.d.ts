/** The parts of whatwg-url and tr46 that the realm is built on; they come without types. */
declare module "whatwg-url/lib/url-state-machine.js" {
  export interface ParsedURL {
    scheme: string;
    username: string;
    password: string;
    host: unknown;
    port: number | null;
    path: string | string[];
    query: string | null;
    fragment: string | null;
  }
  export type ParserState = "scheme start" | "host" | "hostname" | "port" | "path start" | "query" | "fragment";
  export function basicURLParse(
    input: string,
    options?: { baseURL?: ParsedURL; url?: ParsedURL; stateOverride?: ParserState },
  ): ParsedURL | null;
  export function serializeURL(url: ParsedURL): string;
  export function serializeURLOrigin(url: ParsedURL): string;
  export function serializePath(url: ParsedURL): string;
  export function serializeHost(host: unknown): string;
  export function setTheUsername(url: ParsedURL, username: string): void;
  export function setThePassword(url: ParsedURL, password: string): void;
  export function cannotHaveAUsernamePasswordPort(url: ParsedURL): boolean;
  export function hasAnOpaquePath(url: ParsedURL): boolean;
}

declare module "whatwg-url/lib/urlencoded.js" {
  export function parseUrlencodedString(input: string): [name: string, value: string][];
  export function serializeUrlencoded(pairs: readonly (readonly [name: string, value: string])[]): string;
}

declare module "tr46" {
  export function toASCII(domain: string, options: object): string | null;
}
