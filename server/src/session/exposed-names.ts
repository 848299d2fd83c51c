/** Who provides which of the names by which guest code calls clients, also while it is not known yet whether the session can define them. */
import type { LentSize } from "./lent-size.js";

/** A client. */
export interface Provider {
  /** Those that it provides. */
  readonly names: Set<string>;
}

/** What a client has exposed, until it is known whether the session can define the names: `keep` or `undo` has to be called then. */
export interface Exposure<P extends Provider> {
  readonly provider: P;
  readonly names: readonly string[];
}

/** A name of exposures that have not been answered. */
interface Claim<P extends Provider> {
  /** What the name was before them. */
  former: { readonly provider: P | undefined; readonly isAwaited: boolean };
  /** In the order in which they came. */
  readonly exposures: Set<Exposure<P>>;
  /** The last of them. */
  newest: Exposure<P>;
}

export class ExposedNames<P extends Provider> {
  readonly #size: LentSize;
  readonly #providers = new Map<string, P>();
  /** Names of the session that this one is a copy of, which nobody provides here yet: calls wait for who will. */
  readonly #awaited = new Set<string>();
  readonly #claims = new Map<string, Claim<P>>();

  /** @param size of what is kept */
  constructor(size: LentSize) {
    this.#size = size;
  }

  /** Those that some client provides. */
  get provided(): string[] {
    return [...this.#providers.keys()];
  }

  /** The same, and those that calls wait for. */
  get known(): string[] {
    return [...this.#providers.keys(), ...this.#awaited];
  }

  providerOf(name: string): P | undefined {
    return this.#providers.get(name);
  }

  isAwaited(name: string): boolean {
    return this.#awaited.has(name);
  }

  get count(): number {
    return this.#providers.size;
  }

  /** Those of these that nobody provides. */
  newOf(names: readonly string[]): string[] {
    return names.filter((name) => !this.#providers.has(name));
  }

  /** Calls of these wait for who will provide them. */
  await(names: readonly string[]): void {
    for (const name of names) if (!this.#providers.has(name)) this.#setAwaited(name, true);
  }

  #setAwaited(name: string, isAwaited: boolean): void {
    if (isAwaited === this.#awaited.has(name)) return;
    if (isAwaited) {
      this.#awaited.add(name);
      this.#size.add([name]);
    } else {
      this.#awaited.delete(name);
      this.#size.remove([name]);
    }
  }

  expose(provider: P, names: readonly string[]): Exposure<P> {
    const exposure: Exposure<P> = { provider, names };
    for (const name of names) {
      const claim = this.#claims.get(name);
      if (claim === undefined) {
        const former = { provider: this.#providers.get(name), isAwaited: this.#awaited.has(name) };
        this.#setAwaited(name, false);
        this.#claims.set(name, { former, exposures: new Set([exposure]), newest: exposure });
      } else {
        claim.exposures.add(exposure);
        claim.newest = exposure;
      }
      this.#provide(name, provider);
    }
    return exposure;
  }

  /** The session can define them. @returns the clients that had some of them before */
  keep(exposure: Exposure<P>): ReadonlySet<P> {
    const { provider, names } = exposure;
    const formers = new Set<P>();
    for (const name of names) {
      const claim = this.#claims.get(name);
      if (!claim?.exposures.has(exposure)) continue;
      if (claim.former.provider !== undefined) formers.add(claim.former.provider);
      claim.former = { provider, isAwaited: false };
      // Should what came before it be refused yet, that takes nothing from it.
      for (const each of claim.exposures) {
        claim.exposures.delete(each);
        if (each === exposure) break;
      }
      if (claim.exposures.size === 0) this.#claims.delete(name);
    }
    formers.delete(provider);
    return formers;
  }

  /** All names that a client provides, whatever becomes of exposures that have not been answered. */
  settledOf(provider: P): string[] {
    const unclaimed = [...provider.names].filter((name) => !this.#claims.has(name));
    const claimed = [...this.#claims].filter(([, { former }]) => former.provider === provider);
    return [...unclaimed, ...claimed.map(([name]) => name)];
  }

  /** It cannot: each name is with whom it was, unless it was exposed again since. @param isHere false for a client that was given up */
  undo(exposure: Exposure<P>, isHere: (provider: P) => boolean): void {
    for (const name of exposure.names) {
      const claim = this.#claims.get(name);
      if (!claim?.exposures.delete(exposure) || claim.newest !== exposure) continue;
      const newest = [...claim.exposures].at(-1);
      if (newest !== undefined) claim.newest = newest;
      else this.#claims.delete(name);
      const { provider, isAwaited } = newest === undefined ? claim.former : { ...newest, isAwaited: false };
      this.#provide(name, provider !== undefined && isHere(provider) ? provider : undefined);
      if (isAwaited) this.#setAwaited(name, true);
    }
  }

  /** A client provides its names here from now on. */
  adopt(provider: P): void {
    for (const name of provider.names) {
      this.#set(name, provider);
      this.#setAwaited(name, false);
    }
  }

  /** A client was given up. */
  abandon({ names }: P): void {
    for (const name of names) this.#set(name, undefined);
  }

  /** Nobody provides any more. What a client goes on to provide elsewhere is without what was not answered here. */
  clear(): void {
    for (const [name, { former }] of this.#claims) this.#provide(name, former.provider);
    this.#providers.clear();
    this.#claims.clear();
  }

  #provide(name: string, provider: P | undefined): void {
    this.#providers.get(name)?.names.delete(name);
    provider?.names.add(name);
    this.#set(name, provider);
  }

  #set(name: string, provider: P | undefined): void {
    const isProvided = this.#providers.has(name);
    if (provider === undefined) this.#providers.delete(name);
    else this.#providers.set(name, provider);
    if (!isProvided && provider !== undefined) this.#size.add([name]);
    if (isProvided && provider === undefined) this.#size.remove([name]);
  }
}
