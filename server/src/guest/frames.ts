/** Lines of a stack: which are the kernel's, and who called it. */
import { indexOf, KernelError, slice } from "./intrinsics.js";
import { ownValue } from "./properties.js";

const LINE_LIMIT = 500;

/** Frames of the kernel tell no place, since it is compiled without; all others end in one. */
export function isKernelFrame(line: string): boolean {
  const last = slice(line, line.length - 1);
  return slice(line, 0, 7) === "    at " && last !== ")" && !(last >= "0" && last <= "9");
}

/** True for a built-in by which the kernel calls what it was given, where a frame of the kernel stands below it. */
export function isKernelsCall(line: string): boolean {
  return line === "    at apply (native)" || line === "    at call (native)" || line === "    at construct (native)";
}

/** The stack as it is now, innermost frame first, the kernel's own among them. */
export function currentStack(): string {
  const stack = ownValue(new KernelError(), "stack");
  return typeof stack === "string" ? stack : "";
}

/** The innermost frame that is not the kernel's; empty where there is none. */
export function callerFrame(): string {
  const stack = currentStack();
  let from = 0;
  for (let end = indexOf(stack, "\n"); end >= 0; end = indexOf(stack, "\n", from)) {
    const line = slice(stack, from, end);
    if (!isKernelFrame(line)) return slice(line, 0, LINE_LIMIT);
    from = end + 1;
  }
  return "";
}
