import { type GuestPlace, placeName, placeOf } from "./guest-place.js";
import type { Handle } from "./handle.js";
import type { CallTarget, GuestCommand } from "./requests.js";

/** Writes scripts about places of a guest, and the bindings that they need. */
export class GuestScript {
  readonly bindings: Record<string, unknown> = {};
  /** What the arguments of calls are in the script. */
  readonly args: string[] = [];
  readonly #session: object;
  readonly #handles = new Map<Handle, string>();
  readonly #counts = { guest: 0, arg: 0 };

  /** @param session whose places they may be */
  constructor(session: object) {
    this.#session = session;
  }

  /**
   * An expression that leads to the place.
   * @throws {TypeError} if it is a place of another session object
   */
  place(place: GuestPlace): string {
    if (place.session !== this.#session) {
      throw new TypeError(`${placeName(place)} is of another session object: send what that one's $value() gives`);
    }
    // Names of the session are properties of its global object, whatever declared them.
    const root = place.handle === undefined ? "globalThis" : this.#handle(place.handle);
    return root + place.path.map((key) => `[${JSON.stringify(key)}]`).join("");
  }

  /** An expression for any value that is to be sent. */
  value(value: unknown): string {
    const place = placeOf(value);
    return place === undefined ? this.#bind("arg", value) : this.place(place);
  }

  /** A call of the function at a place: without a path it is called on nothing, and not on the object that has the bindings. */
  call(place: GuestPlace, args: readonly unknown[]): string {
    const expression = this.place(place);
    const callee = place.path.length === 0 ? `(0, ${expression})` : expression;
    const names = args.map((arg) => this.value(arg));
    this.args.push(...names);
    return `${callee}(${names.join(", ")})`;
  }

  #handle(handle: Handle): string {
    const name = this.#handles.get(handle) ?? this.#bind("guest", handle);
    this.#handles.set(handle, name);
    return name;
  }

  #bind(kind: "guest" | "arg", value: unknown): string {
    const count = this.#counts[kind]++;
    const name = kind === "guest" && count === 0 ? kind : `${kind}${count}`;
    this.bindings[name] = value;
    return name;
  }
}

/**
 * The path of a call; undefined where only a script can call: a name has a dot in it, or an argument is a place below a handle, which
 * has no id.
 */
function targetOf({ handle, path }: GuestPlace, args: readonly unknown[]): CallTarget | undefined {
  if (path.some((key) => key === "" || key.includes("."))) return undefined;
  if (handle === undefined && path.length === 0) return undefined;
  const isBelow = (arg: unknown): boolean => {
    const place = placeOf(arg);
    return place !== undefined && (place.handle === undefined || place.path.length > 0);
  };
  if (args.some(isBelow)) return undefined;
  return handle === undefined ? { path: path.join(".") } : { handle, path: path.join(".") };
}

/** What calls the function at a place. */
export function guestCommand(place: GuestPlace, args: readonly unknown[]): GuestCommand {
  const script = new GuestScript(place.session);
  const target = targetOf(place, args);
  const call = script.call(place, args);
  return {
    target,
    args: script.args,
    bindings: script.bindings,
    script: (reading) => (reading === "result" ? call : iterating(call)),
  };
}

/**
 * A script that gives a value to be copied. What modules export is copied as the properties of an object are, where a module itself
 * would stay, and so are the names of a session.
 */
export function copying(expression: string): string {
  const isModule = 'value === globalThis || Object.prototype.toString.call(value) === "[object Module]"';
  return `((value) => ${isModule} ? { ...value } : value)(${expression})`;
}

/** A script that gives one after the other what a value iterates over. */
export function iterating(expression: string): string {
  return `(async function* () { return yield* await ${expression} })()`;
}
