/** `URL` and `URLSearchParams` of the URL standard, over the parser of whatwg-url. */
import {
  basicURLParse,
  cannotHaveAUsernamePasswordPort,
  hasAnOpaquePath,
  type ParsedURL,
  type ParserState,
  serializeHost,
  serializePath,
  serializeURL,
  serializeURLOrigin,
  setThePassword,
  setTheUsername,
} from "whatwg-url/lib/url-state-machine.js";
import { paramsOf, queryOf, setQuery, toText, URLSearchParams } from "../url-search-params.js";
import { asInterface, requireArguments } from "../webidl.js";

function parse(input: unknown, base: unknown): ParsedURL | null {
  const text = toText(input);
  if (base === undefined) return basicURLParse(text);
  const baseURL = basicURLParse(toText(base));
  return baseURL === null ? null : basicURLParse(text, { baseURL });
}

class URL {
  #parsed: ParsedURL;
  #params: URLSearchParams | undefined;
  /** The parameters were changed, and the query was not yet: written anew with each of them, many would take their time. */
  #isQueryOld = false;

  constructor(url: unknown, base: unknown = undefined) {
    requireArguments(arguments.length, 1, "URL");
    const parsed = parse(url, base);
    if (parsed === null) throw invalid(url);
    this.#parsed = parsed;
  }

  static canParse(url: unknown, base: unknown = undefined): boolean {
    requireArguments(arguments.length, 1, "URL.canParse");
    return parse(url, base) !== null;
  }

  static parse(url: unknown, base: unknown = undefined): URL | null {
    requireArguments(arguments.length, 1, "URL.parse");
    const parsed = parse(url, base);
    return parsed === null ? null : new URL(serializeURL(parsed));
  }

  get href(): string {
    return serializeURL(this.#url);
  }

  set href(value: unknown) {
    const parsed = basicURLParse(toText(value));
    if (parsed === null) throw invalid(value);
    this.#parsed = parsed;
    this.#queryChanged();
  }

  get origin(): string {
    return serializeURLOrigin(this.#url);
  }

  get protocol(): string {
    return `${this.#url.scheme}:`;
  }

  set protocol(value: unknown) {
    this.#set(`${toText(value)}:`, "scheme start");
  }

  get username(): string {
    return this.#url.username;
  }

  set username(value: unknown) {
    const text = toText(value);
    if (!cannotHaveAUsernamePasswordPort(this.#url)) setTheUsername(this.#url, text);
  }

  get password(): string {
    return this.#url.password;
  }

  set password(value: unknown) {
    const text = toText(value);
    if (!cannotHaveAUsernamePasswordPort(this.#url)) setThePassword(this.#url, text);
  }

  get host(): string {
    const { port } = this.#url;
    return port === null ? this.hostname : `${this.hostname}:${port}`;
  }

  set host(value: unknown) {
    const text = toText(value);
    if (!hasAnOpaquePath(this.#url)) this.#set(text, "host");
  }

  get hostname(): string {
    const { host } = this.#url;
    return host === null ? "" : serializeHost(host);
  }

  set hostname(value: unknown) {
    const text = toText(value);
    if (!hasAnOpaquePath(this.#url)) this.#set(text, "hostname");
  }

  get port(): string {
    const { port } = this.#url;
    return port === null ? "" : `${port}`;
  }

  set port(value: unknown) {
    const text = toText(value);
    if (cannotHaveAUsernamePasswordPort(this.#url)) return;
    if (text === "") this.#url.port = null;
    else this.#set(text, "port");
  }

  get pathname(): string {
    return serializePath(this.#url);
  }

  set pathname(value: unknown) {
    const text = toText(value);
    if (hasAnOpaquePath(this.#url)) return;
    this.#url.path = [];
    this.#set(text, "path start");
  }

  get search(): string {
    const { query } = this.#url;
    return query === null || query === "" ? "" : `?${query}`;
  }

  set search(value: unknown) {
    const text = toText(value);
    if (text === "") {
      this.#url.query = null;
    } else {
      this.#url.query = "";
      this.#set(text.replace(/^\?/, ""), "query");
    }
    this.#queryChanged();
  }

  get searchParams(): URLSearchParams {
    this.#params ??= paramsOf(this.#url.query ?? "", () => {
      this.#isQueryOld = true;
    });
    return this.#params;
  }

  get hash(): string {
    const { fragment } = this.#url;
    return fragment === null || fragment === "" ? "" : `#${fragment}`;
  }

  set hash(value: unknown) {
    const text = toText(value);
    if (text === "") {
      this.#url.fragment = null;
    } else {
      this.#url.fragment = "";
      this.#set(text.replace(/^#/, ""), "fragment");
    }
  }

  toString(): string {
    return this.href;
  }

  toJSON(): string {
    return this.href;
  }

  get #url(): ParsedURL {
    if (this.#isQueryOld && this.#params !== undefined) {
      this.#isQueryOld = false;
      this.#parsed.query = queryOf(this.#params);
    }
    return this.#parsed;
  }

  #set(input: string, stateOverride: ParserState): void {
    basicURLParse(input, { url: this.#url, stateOverride });
  }

  #queryChanged(): void {
    this.#isQueryOld = false;
    if (this.#params !== undefined) setQuery(this.#params, this.#parsed.query ?? "");
  }
}

asInterface(URL, "URL");

/** With the code that Node gives it: code that people carry over looks at it. */
function invalid(input: unknown): TypeError {
  return Object.assign(new TypeError("Invalid URL"), { code: "ERR_INVALID_URL", input: toText(input) });
}

export { URL, URLSearchParams };
