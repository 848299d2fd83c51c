/** Who provides which of the names by which guest code calls clients, also while it is not known yet whether the session can define them. */

/** A client. */
export interface Provider {
  /** Those that it provides. */
  readonly names: Set<string>;
}

/** What a client has exposed, until it is known whether the session can define the names: `keep` or `undo` has to be called then. */
export interface Exposure<P extends Provider> {
  readonly provider: P;
  /** What each of its names was before. */
  readonly formers: Map<string, Former<P>>;
}

interface Former<P> {
  readonly provider: P | undefined;
  readonly isAwaited: boolean;
}

export class ExposedNames<P extends Provider> {
  readonly #providers = new Map<string, P>();
  /** Names of the session that this one is a copy of, which nobody provides here yet: calls wait for who will. */
  readonly #awaited = new Set<string>();
  /** Of each name those that it is not known of yet, in the order in which they came. */
  readonly #exposing = new Map<string, Exposure<P>[]>();

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

  /** Calls of these wait for who will provide them. */
  await(names: readonly string[]): void {
    for (const name of names) if (!this.#providers.has(name)) this.#awaited.add(name);
  }

  expose(provider: P, names: readonly string[]): Exposure<P> {
    const exposing: Exposure<P> = { provider, formers: new Map() };
    for (const name of new Set(names)) {
      const all = this.#exposing.get(name);
      if (all === undefined) this.#exposing.set(name, [exposing]);
      else all.push(exposing);
      exposing.formers.set(name, { provider: this.#providers.get(name), isAwaited: this.#awaited.delete(name) });
      this.#provide(name, provider);
    }
    return exposing;
  }

  /** The session can define them. @returns all names that the client provides now */
  keep(exposing: Exposure<P>): string[] {
    const { provider, formers } = exposing;
    for (const name of formers.keys()) {
      const all = this.#exposingOf(name);
      const at = all.indexOf(exposing);
      // Should what came before it be refused yet, that takes nothing from it.
      for (const earlier of all.slice(0, Math.max(at, 0))) earlier.formers.delete(name);
      this.#setExposing(name, all.slice(at + 1));
    }
    const isUnanswered = (name: string): boolean =>
      this.#exposingOf(name).some((other) => other.formers.get(name)?.provider !== provider);
    return [...provider.names].filter((name) => formers.has(name) || !isUnanswered(name));
  }

  /** It cannot: each name is with whom it was, unless it was exposed again since. @param isHere false for a client that was given up */
  undo(exposing: Exposure<P>, isHere: (provider: P) => boolean): void {
    for (const [name, former] of exposing.formers) {
      const all = this.#exposingOf(name);
      const next = all[all.indexOf(exposing) + 1];
      this.#setExposing(
        name,
        all.filter((other) => other !== exposing),
      );
      next?.formers.set(name, former);
      if (next !== undefined || this.#providers.get(name) !== exposing.provider) continue;
      const { provider, isAwaited } = former;
      this.#provide(name, provider !== undefined && isHere(provider) ? provider : undefined);
      if (isAwaited) this.#awaited.add(name);
    }
  }

  /** A client provides its names here from now on. */
  adopt(provider: P): void {
    for (const name of provider.names) {
      this.#providers.set(name, provider);
      this.#awaited.delete(name);
    }
  }

  /** A client was given up. */
  abandon({ names }: P): void {
    for (const name of names) this.#providers.delete(name);
  }

  /** Nobody provides any more. */
  clear(): void {
    this.#providers.clear();
    this.#exposing.clear();
  }

  #exposingOf(name: string): readonly Exposure<P>[] {
    return this.#exposing.get(name) ?? [];
  }

  #setExposing(name: string, exposing: Exposure<P>[]): void {
    if (exposing.length > 0) this.#exposing.set(name, exposing);
    else this.#exposing.delete(name);
  }

  #provide(name: string, provider: P | undefined): void {
    this.#providers.get(name)?.names.delete(name);
    provider?.names.add(name);
    if (provider === undefined) this.#providers.delete(name);
    else this.#providers.set(name, provider);
  }
}
