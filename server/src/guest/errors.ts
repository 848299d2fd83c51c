/** Describes what guest code threw. Looks only: a hostile getter, proxy or toString does not run. */
import { dataProperty, inspect, isError } from "./inspect.js";
import { slice, stringify } from "./intrinsics.js";
import { plainJson } from "./plain-json.js";
import { withTemplatePlaces } from "./templates.js";

const NAME_LIMIT = 256;
const MESSAGE_LIMIT = 32_768;
const STACK_LIMIT = 16_384;
const CAUSE_DEPTH = 8;

/** JSON text of what an `Exception` message says, its stack unparsed. */
export function describeThrown(thrown: unknown, depth = CAUSE_DEPTH): string {
  if (!isError(thrown)) {
    const plain = plainJson(thrown, true);
    const asJson = plain === undefined ? "" : `,"thrown":${stringify(plain)}`;
    const message = typeof thrown === "string" ? slice(thrown, 0, MESSAGE_LIMIT) : inspect(thrown, MESSAGE_LIMIT);
    return `{"name":"","message":${stringify(message)},"stack":""${asJson}}`;
  }
  const cause = depth > 0 ? dataProperty(thrown, "cause") : undefined;
  return (
    `{"name":${text(thrown, "name", NAME_LIMIT)},"message":${text(thrown, "message", MESSAGE_LIMIT)},` +
    `"stack":${stackText(thrown)}` +
    `${cause === undefined ? "" : `,"cause":${describeThrown(cause, depth - 1)}`}}`
  );
}

function stackText(error: object): string {
  const value = dataProperty(error, "stack");
  return typeof value === "string" ? stringify(withTemplatePlaces(slice(value, 0, STACK_LIMIT))) : '""';
}

function text(error: object, key: string, limit: number): string {
  const value = dataProperty(error, key);
  return typeof value === "string" ? stringify(slice(value, 0, limit)) : '""';
}
