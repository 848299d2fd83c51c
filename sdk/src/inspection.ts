import {
  type InspectResponse,
  SandboxServiceService,
  Handle as WireHandle,
  type Property as WireProperty,
} from "@livescope/proto";
import { checkText, countOf } from "./checks.js";
import { Preview } from "./handle.js";
import type { InspectOptions } from "./options.js";
import type { CallTarget } from "./requests.js";
import type { Channel } from "./transport/channel.js";
import { encodeHandle } from "./values.js";

/** What a value looks like. */
export interface Inspection {
  /** Describes the value. No handle is made for it. */
  readonly preview: Preview;
  /** Its own properties, in the guest's order. */
  readonly properties: readonly Property[];
  /** True if there are more properties than are listed. */
  readonly truncated: boolean;
}

/** One own property of a value. */
export interface Property {
  /** The key. A symbol is written as its description in brackets. */
  readonly name: string;
  /** The type of the property's value, as in {@link Preview}. Empty for an accessor, whose getter is not run. */
  readonly type: string;
  /** A short text of the property's value for people. Empty for an accessor. */
  readonly preview: string;
  /** True if the property is a getter, a setter or both. */
  readonly accessor: boolean;
  /** True if the property is enumerable. */
  readonly enumerable: boolean;
  /**
   * The property's value if it is null, a boolean, a number or a string; otherwise, and for a number that JSON cannot carry,
   * undefined: `type` tells which.
   */
  readonly value: null | boolean | number | string | undefined;
}

/**
 * Lists the properties of a value.
 * @throws {DisposedError} if its handle was released
 * @throws {TypeError} if the path is no string
 */
export async function inspectValue(
  channel: Channel,
  sessionId: string,
  { handle, path }: CallTarget,
  options: InspectOptions,
): Promise<Inspection> {
  channel.assertUsable();
  checkText("the path", path);
  const handleId = handle && encodeHandle(handle, "what is inspected").handleId;
  const request = { sessionId, handleId, path, maxProperties: countOf("maxProperties", options.maxProperties) };
  return readInspection(await channel.send(SandboxServiceService.inspect, request, options));
}

function readInspection({ handle, properties, truncated }: InspectResponse): Inspection {
  return { preview: new Preview(handle ?? WireHandle.create()), properties: properties.map(readProperty), truncated };
}

function readProperty({ name, type, preview, accessor, enumerable, value }: WireProperty): Property {
  return { name, type, preview, accessor, enumerable, value: readPrimitive(value?.kind) };
}

function readPrimitive(kind: NonNullable<WireProperty["value"]>["kind"]): Property["value"] {
  // Both arms hold JSON text.
  return kind?.$case === "json" || kind?.$case === "data" ? JSON.parse(String(kind.value)) : undefined;
}
