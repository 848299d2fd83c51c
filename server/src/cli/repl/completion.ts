/** What TAB offers: names that are in the session, found without running any code of the guest. */
import type { Inspection, Session } from "@livescope/sdk";

/** The names that may stand for what was typed, and the part of it that they stand for. */
export type Completions = [names: string[], typed: string];

/** How long an answer is waited for, in milliseconds: while code runs there is none. */
const PATIENCE = 2_000;
const MOST_PROPERTIES = 1_000;

const NAME = String.raw`[\p{ID_Start}$_][\p{ID_Continue}$]*`;
const INDEX = String.raw`\[(?:\d+|"[^".\\]*"|'[^'.\\]*')\]`;
/** A path at the end of a line: names and constant indices, and the begin of the last name. */
const PATH = new RegExp(String.raw`((?:${NAME}(?:${INDEX})*\??\.)*)((?:${NAME})?)$`, "u");
const IS_NAME = new RegExp(`^${NAME}$`, "u");

/** Where primitives of a type have their methods. */
const PROTOTYPES: Readonly<Record<string, string>> = {
  string: "String.prototype",
  number: "Number.prototype",
  boolean: "Boolean.prototype",
  bigint: "BigInt.prototype",
  symbol: "Symbol.prototype",
};

const KEYWORDS = [
  ..."async await break case catch class const continue debugger default delete do else false finally for function if import".split(
    " ",
  ),
  ..."in instanceof let new null of return static super switch this throw true try typeof undefined var void while yield".split(
    " ",
  ),
];

/** Completes the end of a line. What cannot be looked at has no completions. */
export async function complete(session: Session, line: string): Promise<Completions> {
  const [whole = "", path = "", typed = ""] = PATH.exec(line) ?? [];
  // What stands before is no path: the result of a call, say.
  if (/[.\w$]$/.test(line.slice(0, line.length - whole.length))) return [[], typed];
  const names = path === "" ? [...(await namesOf(session, "")), ...KEYWORDS] : await membersOf(session, dotted(path));
  const matching = names.filter((name) => name.startsWith(typed) && IS_NAME.test(name));
  return [[...new Set(matching)].sort(), typed];
}

/** `a["b"][0]?.` as `a.b.0`, the form in which the server takes paths. */
function dotted(path: string): string {
  return path
    .replace(/\??\.$/, "")
    .replace(/^this(?=$|[.?[])/, "globalThis")
    .replaceAll("?.", ".")
    .replaceAll(/\[(?:(\d+)|"([^"]*)"|'([^']*)')\]/g, (_, index, double, single) => `.${index ?? double ?? single}`);
}

/** Names of a value's own properties, and of those that it inherits as far as its class tells. */
async function membersOf(session: Session, path: string): Promise<string[]> {
  const inspection = await look(session, path);
  if (inspection === undefined) return [];
  const { preview, properties } = inspection;
  const primitive = PROTOTYPES[preview.type];
  const inherited =
    primitive === undefined
      ? [`${path}.constructor.prototype`, ...(preview.type === "function" ? ["Function.prototype"] : [])]
      : [primitive];
  const lists = await Promise.all([...inherited, "Object.prototype"].map((place) => namesOf(session, place)));
  return [...properties.map(({ name }) => name), ...lists.flat()];
}

async function namesOf(session: Session, path: string): Promise<string[]> {
  return (await look(session, path))?.properties.map(({ name }) => name) ?? [];
}

/** Undefined where a path leads nowhere, or through what only running code could tell. */
function look(session: Session, path: string): Promise<Inspection | undefined> {
  return session.inspect(path, { maxProperties: MOST_PROPERTIES, timeout: PATIENCE }).catch(() => undefined);
}
