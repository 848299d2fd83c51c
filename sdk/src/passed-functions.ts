import { randomUUID } from "node:crypto";
import type { HostFunction as HostFunctionMessage } from "@livescope/proto";
import type { HostFunction } from "./host-function.js";
import type { WrapHandle } from "./outcome.js";

/** Functions that one command carries as values: by their ids, the same one once. */
export class PassedFunctions {
  readonly byId = new Map<string, HostFunction>();
  /** Makes what stands for handles among their arguments. */
  readonly wrap: WrapHandle | undefined;
  readonly #ids = new Map<HostFunction, string>();

  constructor(wrap?: WrapHandle) {
    this.wrap = wrap;
  }

  add(run: HostFunction): HostFunctionMessage {
    const hostFunctionId = this.#ids.get(run) ?? randomUUID();
    this.#ids.set(run, hostFunctionId);
    this.byId.set(hostFunctionId, run);
    return { hostFunctionId, name: nameOf(run) };
  }
}

const NAME_LENGTH = 1_000;

/** What a function says that it is called may be anything. */
function nameOf({ name }: { readonly name: unknown }): string {
  return typeof name === "string" ? name.replaceAll("\0", "").slice(0, NAME_LENGTH) : "";
}
