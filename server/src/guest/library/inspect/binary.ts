/** Array buffers and data views. */
import { arrayBufferLength, BytesOf, construct, viewBuffer, viewLength, viewOffset } from "./captured.js";
import type { Context } from "./context.js";
import { render } from "./value.js";

/** The bytes, and how many there are. */
export function bufferParts(context: Context, buffer: object, parts: string[]): undefined {
  const length = arrayBufferLength(buffer);
  parts[0] = `[Uint8Contents]: <${hexadecimal(buffer, length, context.maximumItems)}>`;
  parts[1] = `byteLength: ${length}`;
  context.spent += (parts[0] as string).length + 16;
}

function hexadecimal(buffer: object, length: number, most: number): string {
  const shown = length < most ? length : most;
  if (shown === 0) return "";
  const bytes = construct(BytesOf, [buffer, 0, shown]) as Uint8Array;
  const digits = "0123456789abcdef";
  let text = "";
  for (let i = 0; i < shown; i++) {
    const byte = bytes[i] as number;
    text += `${i === 0 ? "" : " "}${digits[byte >> 4] as string}${digits[byte & 15] as string}`;
  }
  const rest = length - shown;
  return rest === 0 ? text : `${text} ... ${rest} more byte${rest === 1 ? "" : "s"}`;
}

export function viewParts(context: Context, view: object, parts: string[], level: number): undefined {
  context.indentation += 2;
  try {
    parts[0] = `byteLength: ${viewLength(view)}`;
    parts[1] = `byteOffset: ${viewOffset(view)}`;
  } catch {
    // The buffer was detached, or is too short by now.
  }
  parts[parts.length] = `buffer: ${render(context, viewBuffer(view), level + 1)}`;
  context.indentation -= 2;
}
