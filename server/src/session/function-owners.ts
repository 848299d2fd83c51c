/**
 * The functions that clients have passed to one session as values: whose each is, and who is to be told that the guest does not hold
 * one any more. That may be while the client is away, or after it was given up; then it is told should it come.
 */
import type { LentSize } from "./lent-size.js";
import type { GoneRecord, HostFunctionsRecord, LenderRecord } from "./session-record.js";

/** A client. */
export interface FunctionOwner {
  readonly id: string;
  /** Undefined while it is away. */
  readonly link: { released(hostFunctionId: string): void } | undefined;
  /** Ids of those that it has passed. */
  readonly functions: Set<string>;
  /** Such as the guest let go of while the client was away. They are no more than it had: nobody passes any while away. */
  readonly released: string[];
  /** Milliseconds that are waited for it when it is away. */
  readonly reconnectWindow: number;
}

/** What is kept of clients that are gone: they and their functions, together. */
const MOST = {
  gone: 10_000,
  /** In a record, which is written with every commit. */
  recorded: 1_000,
};

/** Milliseconds that a client has, while it is here, to repeat a command of which it is not known whether it was kept. */
const REPEAT_PATIENCE = 60_000;

export class FunctionOwners<O extends FunctionOwner> {
  readonly #size: LentSize;
  readonly #owners = new Map<string, O>();
  /** Ids of functions of clients that were given up, by client. */
  readonly #gone = new Map<string, readonly string[]>();
  /** Of them and their functions, together. */
  #goneCount = 0;
  /** Of functions that the guest may never have got: how many commands under way bring each. */
  readonly #unknown = new Map<string, number>();
  /** Such as the guest holds no more, which may yet be undone: until then their clients keep them. */
  readonly #letGo = new Set<string>();
  /** Such as it had let go of when commands came that bring them again: they are among the unknown. */
  readonly #passedAgain = new Set<string>();

  /** @param size of what is kept */
  constructor(size: LentSize) {
    this.#size = size;
  }

  get count(): number {
    return this.#owners.size;
  }

  /** Those of these that there are not yet. */
  newOf(ids: readonly string[]): ReadonlySet<string> {
    return new Set(ids.filter((id) => !this.#owners.has(id)));
  }

  has(id: string): boolean {
    return this.#owners.has(id);
  }

  of(id: string): O | undefined {
    return this.#owners.get(id);
  }

  /** Such as the guest holds no more, which may yet be undone. */
  get unheld(): string[] {
    return [...this.#letGo];
  }

  /** Those that the guest may never have got. */
  get unknown(): string[] {
    return [...this.#unknown.keys()];
  }

  /** A command brings these with it, which are this client's from now on. */
  pass(owner: O, ids: ReadonlySet<string>): void {
    for (const id of ids) {
      const former = this.#owners.get(id);
      const commands = this.#unknown.get(id) ?? 0;
      const isLetGo = this.#letGo.delete(id);
      if (isLetGo) this.#passedAgain.add(id);
      if (former === undefined || commands > 0 || isLetGo) this.#unknown.set(id, commands + 1);
      if (former === undefined) this.#size.add([id]);
      former?.functions.delete(id);
      owner.functions.add(id);
      this.#owners.set(id, owner);
    }
  }

  /** Commands that brought these are lost, and may come again. Those that none has brought again in time are given back. */
  awaitRepeat(ids: readonly string[]): void {
    for (const id of ids) if (this.#owners.has(id)) this.#unknown.set(id, 1);
    this.#lookForRepeat(ids);
  }

  #lookForRepeat(ids: readonly string[]): void {
    const awaited = ids.flatMap((id) => {
      const owner = this.#owners.get(id);
      return owner === undefined ? [] : [{ id, owner, link: owner.link }];
    });
    if (awaited.length === 0) return;
    const look = (): void => {
      const isThere = ({ owner, link }: (typeof awaited)[number]): boolean => link !== undefined && owner.link === link;
      this.notReceived(awaited.filter(isThere).map(({ id }) => id));
      this.#lookForRepeat(awaited.filter((each) => !isThere(each)).map(({ id }) => id));
    };
    setTimeout(look, REPEAT_PATIENCE).unref();
  }

  /** A command that brought these has run: the guest may hold them. */
  received(ids: readonly string[]): void {
    for (const id of ids) {
      this.#unknown.delete(id);
      this.#passedAgain.delete(id);
    }
  }

  /** A command that brought these never ran, or was undone: the guest has those alone that it got by another. */
  notReceived(ids: readonly string[]): void {
    for (const id of new Set(ids)) {
      const commands = this.#unknown.get(id) ?? 0;
      if (commands > 1) this.#unknown.set(id, commands - 1);
      else if (commands === 1) this.#neverCame(id);
    }
  }

  #neverCame(id: string): void {
    if (!this.#passedAgain.delete(id)) return this.release(id);
    this.#unknown.delete(id);
    this.#letGo.add(id);
  }

  /** The guest holds one no more, which may yet be undone. */
  letGo(id: string): void {
    this.#letGo.add(id);
  }

  /** That was undone. */
  holdAgain(id: string): void {
    this.#letGo.delete(id);
    if (this.#passedAgain.delete(id)) this.#unknown.delete(id);
  }

  /** That cannot be undone any more. Whether one that was passed again meanwhile is held its commands tell. */
  releaseLetGo(id: string): void {
    this.#passedAgain.delete(id);
    if (this.#letGo.has(id)) this.release(id);
  }

  /** The guest does not hold one any more, or never got it: its client is told, when it is there. */
  release(id: string): void {
    const owner = this.#owners.get(id);
    this.forget(id);
    if (owner === undefined) return;
    if (owner.link !== undefined) return owner.link.released(id);
    owner.released.push(id);
    this.#size.add([id]);
  }

  /** It is its client's own matter now. */
  forget(id: string): void {
    this.#owners.get(id)?.functions.delete(id);
    if (this.#owners.delete(id)) this.#size.remove([id]);
    this.#unknown.delete(id);
    this.#letGo.delete(id);
    this.#passedAgain.delete(id);
  }

  /** The session was put back to where it knew these alone, and holds them. */
  keepOnly(ids: readonly string[]): void {
    const known = new Set(ids);
    this.#letGo.clear();
    this.#passedAgain.clear();
    for (const id of [...this.#owners.keys()]) if (!known.has(id)) this.release(id);
  }

  /** A client is here, or is waited for, with all that it has passed. */
  add(owner: O): void {
    this.#size.add(this.newOf([...owner.functions]));
    this.#size.add(owner.released);
    for (const id of owner.functions) this.#owners.set(id, owner);
  }

  /** A client that may be one of those that were given up is to be told what there was to tell. */
  noteReturn({ id, released }: O): void {
    const functions = this.#gone.get(id);
    if (functions === undefined) return;
    released.push(...functions);
    this.#deleteGone(id);
    this.#size.remove([id]);
  }

  /** What a client is to be told that has come back. */
  takeReleased({ released }: O): string[] {
    this.#size.remove(released);
    return released.splice(0);
  }

  /** Another object of the same client takes its place. */
  remove({ functions, released }: O): void {
    for (const id of functions) if (this.#owners.delete(id)) this.#size.remove([id]);
    this.#size.remove(released);
  }

  /** A client did not come back in time. */
  giveUp(owner: O): void {
    this.remove(owner);
    const { id, functions, released, reconnectWindow } = owner;
    for (const each of functions) this.#letGo.delete(each);
    for (const each of functions) this.#passedAgain.delete(each);
    const unheld = [...released, ...functions];
    // Without a window it was never to come back.
    if (reconnectWindow > 0 && unheld.length > 0) this.#addGone(id, unheld);
    for (const [each, ids] of this.#gone) {
      if (this.#goneCount <= MOST.gone) break;
      this.#dropGone(each, ids);
    }
  }

  #dropGone(id: string, functions: readonly string[]): void {
    this.#deleteGone(id);
    this.#size.remove([id, ...functions]);
  }

  #addGone(id: string, functions: readonly string[]): void {
    // Of one that was away when its session left memory that may be known from there.
    const known = this.#gone.get(id);
    if (known !== undefined) this.#dropGone(id, known);
    this.#gone.set(id, functions);
    this.#goneCount += 1 + functions.length;
    this.#size.add([id, ...functions]);
  }

  #deleteGone(id: string): void {
    this.#goneCount -= 1 + (this.#gone.get(id)?.length ?? 0);
    this.#gone.delete(id);
  }

  /** What is known of them where the session goes on. @param owners all that are here or waited for */
  record(owners: readonly O[]): Pick<HostFunctionsRecord, "passed" | "lenders" | "gone"> {
    const isHeld = (id: string): boolean => !this.#letGo.has(id);
    const lenders = owners
      .map(({ id, reconnectWindow, functions }) => ({ id, reconnectWindow, held: [...functions].filter(isHeld) }))
      .filter(({ held }) => held.length > 0);
    const gone = this.#goneRecord(owners);
    return {
      passed: lenders.flatMap(({ held }) => held),
      lenders: lenders.map(({ id, reconnectWindow, held }): LenderRecord => {
        return { connectionId: id, reconnectWindow, passed: held.length };
      }),
      ...(gone.length > 0 ? { gone } : {}),
    };
  }

  /** Those that are to be told something should they come, in the order in which they went. */
  #goneRecord(owners: readonly O[]): GoneRecord[] {
    const away = owners.filter(({ released }) => released.length > 0);
    const all = [...this.#gone, ...away.map(({ id, released }) => [id, released] as const)];
    const kept = newestOf(all, MOST.recorded);
    return kept.map(([connectionId, functions]) => ({ connectionId, functions: [...functions] }));
  }

  /** As `record` has it. */
  restoreGone(gone: readonly GoneRecord[]): void {
    for (const { connectionId, functions } of gone) this.#addGone(connectionId, functions);
  }

  /** The session has left memory: clients keep what they have passed. */
  clear(): void {
    this.#owners.clear();
    this.#unknown.clear();
    this.#letGo.clear();
    this.#passedAgain.clear();
  }

  /** The session ends: nobody holds anything. */
  end(): void {
    for (const [id, { link }] of this.#owners) link?.released(id);
    this.#gone.clear();
    this.clear();
  }
}

type Gone = readonly [clientId: string, functions: readonly string[]];

/** The last ones, of so many clients and functions together. */
function newestOf(all: readonly Gone[], most: number): Gone[] {
  let count = 0;
  const first = all.findLastIndex(([, functions]) => {
    count += 1 + functions.length;
    return count > most;
  });
  return all.slice(first + 1);
}
