import type { Handle } from "./handle.js";
import type { CallOptions } from "./options.js";

/** What a guest's proxy stands for: a value that a session has, named by how one gets there. Nothing is asked of the session. */
export interface GuestPlace {
  /** Names the session object: only within it do places mean anything. */
  readonly session: object;
  /** Where the path begins; undefined for the names of the session. */
  readonly handle: Handle | undefined;
  readonly path: readonly string[];
  /** Options of the calls that are made from here. */
  readonly options: CallOptions;
}

const places = new WeakMap<object, GuestPlace>();

/** Makes a proxy known as what it stands for. */
export function registerPlace(proxy: object, place: GuestPlace): void {
  places.set(proxy, place);
}

/** What a proxy stands for; undefined for every other value. */
export function placeOf(value: unknown): GuestPlace | undefined {
  return typeof value === "function" ? places.get(value) : undefined;
}

/** How errors and consoles call a place. */
export function placeName({ handle, path }: GuestPlace): string {
  const [first, ...more] = path.map((key) => (/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? key : quoted(key)));
  if (first === undefined) return handle?.preview ?? "the session's names";
  return first + more.map((key) => (key.startsWith("[") ? key : `.${key}`)).join("");
}

/**
 * The handle that a proxy is. Of a place below one there is none: the session would have to be asked for it.
 * @param sent what errors call the value that is to be sent
 * @throws {TypeError} if it is a place below
 */
export function handleOfPlace(place: GuestPlace, sent: string): Handle {
  if (place.handle !== undefined && place.path.length === 0) return place.handle;
  throw new TypeError(
    `${sent} is a place within a guest (${placeName(place)}), which can be sent as an argument of a guest's function only: ` +
      "send what its $ref() gives, or its $value()",
  );
}

function quoted(key: string): string {
  return `[${JSON.stringify(key)}]`;
}
