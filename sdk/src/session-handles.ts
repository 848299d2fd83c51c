import { randomUUID } from "node:crypto";
import { SandboxServiceService, type Handle as WireHandle } from "@livescope/proto";
import { NotFoundError, SessionLostError, StatusError } from "./errors.js";
import type { Handle } from "./handle.js";
import type { Channel } from "./transport/channel.js";

interface Held {
  readonly handle: WeakRef<Handle>;
  references: number;
}

/** Handles that are collected as garbage. Of all session objects: one that is lost itself is to hear of its handles, too. */
const lost = new FinalizationRegistry<() => void>((onLost) => onLost());

/**
 * The handles that one session object holds, how many references its user has to each, and what of its calls is under way.
 *
 * The two belong together: an answer on its way may carry a handle whose last reference is given back meanwhile. Were it
 * released there and then, the answer would bring a dead one. So the server is told only while no call is under way, and calls
 * wait until it has answered; a handle that comes back before is alive as if nothing had been.
 *
 * A Handle that its user lost is as one whose references were given back: there is a net for it, and no more. It is noticed when, and
 * if, this process collects garbage.
 */
export class SessionHandles {
  /** The handle group of the session object: no other one's release touches what is in it. */
  readonly group: string;
  readonly #transport: Channel;
  readonly #sessionId: string;
  readonly #make: (description: WireHandle) => Handle;
  readonly #held = new Map<string, Held>();
  /** Where the last reference to a handle was given back, by the stack of an error. */
  readonly #released = new WeakMap<Handle, Error>();
  readonly #unreferenced = new Set<string>();
  #underWay = 0;
  #telling: Promise<void> | undefined;
  readonly #onceTold: (() => void)[] = [];
  #onIdle: (() => void) | undefined;

  /** @param group that of the session object whose session this one's is a copy of: the copy holds what that one held */
  constructor(
    transport: Channel,
    sessionId: string,
    make: (description: WireHandle) => Handle,
    group: string = randomUUID(),
  ) {
    this.group = group;
    this.#transport = transport;
    this.#sessionId = sessionId;
    this.#make = make;
  }

  /** A call begins whose answer may carry handles; `end` it when its answer has been read. It is sent `onceTold`. */
  begin(): void {
    // From now on: what it names must not be released while it waits.
    this.#underWay++;
  }

  /** The server is being told what to release. */
  get isTelling(): boolean {
    return this.#telling !== undefined;
  }

  /** Calls back when the server has answered what it is being told: in order, and before whoever waits for the release itself. */
  onceTold(listener: () => void): void {
    this.#onceTold.push(listener);
  }

  /** A call that was begun has been answered, or has failed. */
  end(): void {
    this.#underWay--;
    if (this.#underWay === 0) this.#becomeIdle();
  }

  /** Adds a reference to a handle that came, and gives the object that stands for it. */
  retain(description: WireHandle): Handle {
    const { handleId } = description;
    const known = this.#held.get(handleId);
    const handle = known?.handle.deref() ?? this.#make(description);
    const entry = known?.handle.deref() === handle ? known : this.#hold(handle);
    entry.references++;
    this.#unreferenced.delete(handleId);
    return handle;
  }

  /** Says whether there is a reference to the handle. */
  holds(handle: Handle): boolean {
    return (this.#held.get(handle.id)?.references ?? 0) > 0;
  }

  /**
   * Takes a reference to a handle away; without one left it is released.
   * @throws {StatusError} if the service fails
   */
  async release(handle: Handle): Promise<void> {
    const entry = this.#held.get(handle.id);
    if (entry === undefined || entry.references === 0) return;
    entry.references--;
    if (entry.references > 0) return;
    this.#released.set(handle, new Error("released here"));
    this.#unreferenced.add(handle.id);
    if (this.#underWay === 0) await this.#tell();
  }

  /** An error whose stack says where the last reference was given back; undefined if that was not done here. */
  whereReleased(handle: Handle): Error | undefined {
    return this.#released.get(handle);
  }

  /** Takes away all references. Whoever calls it sees to it that the server lets go. */
  clear(): void {
    this.#held.clear();
    this.#unreferenced.clear();
  }

  /** Waits until no call is under way, then releases the group. Call it once, after `clear`. */
  async releaseGroup(): Promise<void> {
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => (this.#onIdle = resolve));
      // The server is to hear first that their executions end, lest one of them makes a handle after this.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await this.#release({ handleIds: [], handleGroup: this.group });
  }

  #hold(handle: Handle): Held {
    const entry: Held = { handle: new WeakRef(handle), references: 0 };
    const { id } = handle;
    this.#held.set(id, entry);
    lost.register(handle, () => {
      // It may have come again meanwhile, as another object.
      if (this.#held.get(id) !== entry) return;
      this.#unreferenced.add(id);
      if (this.#underWay === 0) this.#becomeIdle();
    });
    return entry;
  }

  #becomeIdle(): void {
    this.#onIdle?.();
    // Nobody waits for this release: should it fail, the handles are let go with the group or the session.
    if (this.#unreferenced.size > 0) this.#tell().catch(() => undefined);
  }

  async #tell(): Promise<void> {
    // A release that comes while another is being told waits for its turn and then may find that it was told with others.
    while (this.#telling) await this.#telling.catch(() => undefined);
    if (this.#underWay > 0 || this.#unreferenced.size === 0) return;
    const handleIds = [...this.#unreferenced];
    this.#unreferenced.clear();
    for (const id of handleIds) this.#held.delete(id);
    this.#telling = this.#release({ handleIds, handleGroup: undefined });
    try {
      await this.#telling;
    } finally {
      this.#telling = undefined;
      for (const listener of this.#onceTold.splice(0)) listener();
    }
  }

  async #release(what: { handleIds: string[]; handleGroup: string | undefined }): Promise<void> {
    try {
      const request = { sessionId: this.#sessionId, all: false, ...what };
      await this.#transport.letGo(SandboxServiceService.releaseHandles, request);
    } catch (error) {
      // With the session its handles are gone as well, which is all that was asked.
      const isGone = error instanceof NotFoundError || error instanceof SessionLostError;
      if (!isGone && !(error instanceof StatusError && error.reason === "SESSION_DELETED")) throw error;
    }
  }
}
