/** What is said to those whose arguments the compiler did not check: what is wrong, and what to give instead. */

/** @throws {TypeError} if it is neither undefined nor one of those allowed */
export function checkOneOf<T extends string>(name: string, value: T | undefined, allowed: readonly T[]): void {
  if (value === undefined || allowed.includes(value)) return;
  throw new TypeError(`${name} is ${shown(value)}: give ${allowed.map(shown).join(" or ")}, or leave it out`);
}

/** @throws {TypeError} if it is neither undefined nor an object that has only properties of these names */
export function checkNames(name: string, value: object | undefined, allowed: readonly string[]): void {
  checkRecord(name, value);
  const unknown = Object.keys(value ?? {}).find((key) => !allowed.includes(key));
  if (unknown !== undefined) throw new TypeError(`${name} has no ${unknown}: there are ${allowed.join(", ")}`);
}

/** @throws {TypeError} if it is neither undefined nor an object of values by their names: of a Map nothing would be found */
export function checkRecord(name: string, value: unknown): void {
  if (value === undefined || (typeof value === "object" && value !== null && !isIterable(value))) return;
  throw new TypeError(`${name} is ${shown(value)}: give an object of values by their names, or leave it out`);
}

function isIterable(value: object): boolean {
  return Symbol.iterator in value;
}

/** @throws {TypeError} if it is neither undefined nor an object of strings */
export function checkTexts(name: string, value: Readonly<Record<string, string>> | undefined): void {
  checkRecord(name, value);
  for (const [key, text] of Object.entries(value ?? {})) checkText(`${name}[${JSON.stringify(key)}]`, text);
}

/** @throws {TypeError} if it is no string */
export function checkText(name: string, value: string): void {
  if (typeof value !== "string") throw new TypeError(`${name} is ${shown(value)}: give a string`);
}

/** @throws {TypeError} if it is neither undefined nor a string that may be an id: an empty one is that of a variable that was not set */
export function checkId(name: string, value: string | undefined): void {
  if (value === undefined || (typeof value === "string" && value !== "")) return;
  throw new TypeError(`${name} is ${shown(value)}: give a string that is not empty, or leave it out`);
}

/** @throws {TypeError} if it is no object that has only functions, by their names */
export function checkFunctions(functions: Readonly<Record<string, unknown>>): void {
  if (typeof functions !== "object" || functions === null || isIterable(functions)) {
    throw new TypeError(`what is exposed is ${shown(functions)}: expose functions by their names`);
  }
  const entries = Object.entries(functions);
  const prototype: unknown = Object.getPrototypeOf(functions);
  if (entries.length === 0 && prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new TypeError(`what is exposed is ${shown(functions)} of a class: expose its methods by their names`);
  }
  for (const [name, run] of entries) {
    if (typeof run !== "function") throw new TypeError(`${name} is no function: expose functions by their names`);
  }
}

/** @throws {TypeError} if it is neither undefined nor a boolean: "no" would count as true, and 0 as false */
export function checkSwitch(name: string, value: boolean | undefined): void {
  if (value === undefined || typeof value === "boolean") return;
  throw new TypeError(`${name} is ${shown(value)}: give true or false, or leave it out`);
}

/** @throws {TypeError} if it is neither undefined nor a function */
export function checkCallback(name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new TypeError(`${name} is ${shown(value)}: give a function, or leave it out`);
}

/** @throws {TypeError} if it is no array */
export function checkList(name: string, value: readonly unknown[]): void {
  if (!Array.isArray(value))
    throw new TypeError(`${name} is ${shown(value)}: give an array, such as [${shown(value)}]`);
}

/**
 * @throws {TypeError} if it is no number
 * @throws {RangeError} if it is not above zero
 */
export function checkMilliseconds(name: string, value: number, most = Number.POSITIVE_INFINITY): void {
  const limit = value > most ? ` of at most ${most}` : "";
  const message = `${name} is ${shown(value)}: give a positive number of milliseconds${limit}, or leave it out`;
  if (typeof value !== "number") throw new TypeError(message);
  if (!(value > 0 && value <= most)) throw new RangeError(message);
}

/** @throws as `checkMilliseconds`, and RangeError if it is no whole number */
export function checkCount(name: string, value: number, most = Number.MAX_SAFE_INTEGER): void {
  const limit = value > most ? ` of at most ${most}` : "";
  const message = `${name} is ${shown(value)}: give a positive whole number${limit}, or leave it out`;
  if (typeof value !== "number") throw new TypeError(message);
  if (!Number.isSafeInteger(value) || value <= 0 || value > most) throw new RangeError(message);
}

/** What a field of 32 bits holds. */
export const LARGEST_NUMBER = 2 ** 31 - 1;

/** How much is to be listed at once: zero where it is left out. @throws as `checkCount` */
export function countOf(name: string, value: number | undefined): number {
  if (value !== undefined) checkCount(name, value, LARGEST_NUMBER);
  return value ?? 0;
}

/** A value as a message names it, in few words. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Map) return "a Map";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/**
 * An address as gRPC takes it: a host and a port, perhaps with a scheme of gRPC's before it.
 * @throws {TypeError} if it cannot be one
 */
export function checkAddress(address: string): void {
  const isUrl = typeof address === "string" && /^(?:https?|grpcs?|tcp|wss?):/i.test(address);
  if (typeof address === "string" && /^\S+$/.test(address) && !isUrl) return;
  const instead = isUrl
    ? `, such as ${address.replace(/^\w+:\/*/, "").replace(/[/?#].*$/s, "") || "localhost:50051"}`
    : "";
  throw new TypeError(
    `the address is ${shown(address)}: address is HOST:PORT${instead}, or unix:/PATH; whether TLS is used is said by credentials`,
  );
}
