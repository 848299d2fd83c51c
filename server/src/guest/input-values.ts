/** The values that come with an input. */
import { graphCodec } from "./graph.js";
import { holdsHandle, valueOfHandle } from "./handle-lookup.js";
import { takeBytes } from "./host.js";
import { hostFunctions } from "./host-functions.js";
import { construct, jsonParse } from "./intrinsics.js";
import { BytesOf } from "./natives.js";
import { Arm, Refusal, readNumber } from "./protocol.js";
import { readText } from "./read-text.js";

/** An input that names what is not there; nothing ran. */
export class Refused {
  constructor(
    readonly reason: number,
    readonly what: string,
  ) {}
}

/**
 * @param field the name of the value, should it have to be refused
 * @param key of it within that field, where it is one of many
 */
export function readValue(field: string, key?: string): unknown {
  const arm = readNumber();
  if (arm === Arm.UNDEFINED) return undefined;
  const text = readText();
  switch (arm) {
    case Arm.HANDLE:
      return heldValue(text);
    case Arm.HOST_FUNCTION:
      return hostFunctions().passedFunction(text, readText());
    case Arm.GRAPH:
      return readGraph(text, nameOf(field, key));
    case Arm.BYTES:
      return construct(BytesOf, [takeBytes(+text)]);
    case Arm.STRING:
      return text;
  }
  try {
    return jsonParse(text);
  } catch {
    throw new Refused(Refusal.INVALID_JSON, nameOf(field, key));
  }
}

function nameOf(field: string, key: string | undefined): string {
  return key === undefined ? field : `${field}[${key}]`;
}

function heldValue(handle: string): unknown {
  if (!holdsHandle(handle)) throw new Refused(Refusal.HANDLE_NOT_FOUND, handle);
  return valueOfHandle(handle);
}

function readGraph(text: string, field: string): unknown {
  const graph = graphCodec();
  try {
    return graph.decodeGraph(text);
  } catch (error) {
    if (error instanceof graph.MissingHandle) throw new Refused(Refusal.HANDLE_NOT_FOUND, error.id);
    const why = error instanceof graph.Malformed ? error.why : "it cannot be read";
    throw new Refused(Refusal.INVALID_GRAPH, `${field}\n${why}`);
  }
}
