/**
 * Work on durable sessions that knows what must have become of it: each step is done once, however often the server went away
 * meanwhile, and what a session answered stands in its own log.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Livescope, type Session, StatusError, UnavailableError } from "@livescope/sdk";

/** What a session is made of: `log` has each step in the order it was done, `begun` those that take two turns. */
export const LOGBOOK = `
  const log = [], begun = [];
  function append(id) { return log.push(id); }
  async function slowly(id) { begun.push(id); await new Promise((wake) => setTimeout(wake, 1)); return log.push(id); }
  async function asking(id) { begun.push(id); await witness(id); return log.push(id); }
`;

const KINDS = ["append", "slowly", "asking"] as const;
/** Milliseconds for which a step is tried again. */
const PATIENCE = 20_000;

interface Step {
  readonly id: string;
  readonly kind: (typeof KINDS)[number];
  readonly requestId: string;
  /** Its place in the log, from 1; undefined as long as nobody has told. */
  place?: number;
  /** Whoever asked does not know whether it was done, and cannot ask again. */
  isAbandoned?: boolean;
}

/** One session, and what was asked of it. */
export class Logbook {
  readonly sessionId: string;
  readonly steps: Step[] = [];
  /** Ids by which host calls for a step were known. */
  readonly #keys = new Map<string, Set<string>>();
  #next = 0;

  constructor(sessionId: string) {
    this.sessionId = sessionId;
  }

  /** Adds steps of one turn one after the other, each asked for once: without a request id it cannot be asked for again. */
  async writeOnce(address: string, until: AbortSignal): Promise<void> {
    await using client = await connect(address);
    const session = client.attach(this.sessionId);
    while (!until.aborted) {
      const step: Step = { id: `${this.sessionId}-${this.#next++}`, kind: "append", requestId: "" };
      this.steps.push(step);
      try {
        step.place = await session.call<number>("append", [step.id]);
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        step.isAbandoned = true;
      }
      // So slowly that the session is not written as a whole meanwhile: nothing is left then of a commit that should not be.
      await sleep(15);
    }
  }

  /** Does steps one after the other until it is told to stop, each until it is answered. */
  async write(address: string, until: AbortSignal): Promise<void> {
    await using client = await connect(address);
    // Not its owner: it is to stay.
    const session = client.attach(this.sessionId, { durability: "durable" });
    const exposure = await repeat(until, () => this.#lend(session));
    try {
      while (!until.aborted) {
        const kind = KINDS[this.#next % KINDS.length] ?? "append";
        const step: Step = { id: `${this.sessionId}-${this.#next++}`, kind, requestId: randomUUID() };
        this.steps.push(step);
        await this.#do(session, step, until);
      }
    } finally {
      await exposure?.release().catch(() => undefined);
    }
  }

  #lend(session: Session) {
    const witness = (id: string, { callId }: { readonly callId: string }): string => {
      const keys = this.#keys.get(id) ?? new Set();
      this.#keys.set(id, keys.add(callId));
      return id;
    };
    return session.expose({ witness }, { takeOver: true });
  }

  async #do(session: Session, step: Step, until: AbortSignal): Promise<void> {
    const { kind, id, requestId } = step;
    const place = await repeat(until, () => session.call<number>(kind, [id], { requestId, timeout: 60_000 }));
    if (place !== undefined) step.place = place;
  }

  /** Asks again for all that nobody has answered. */
  async finish(client: Livescope): Promise<void> {
    const session = client.attach(this.sessionId, { durability: "durable" });
    await using _ = await this.#lend(session);
    for (const step of this.steps)
      if (step.place === undefined && step.isAbandoned !== true)
        await this.#do(session, step, AbortSignal.timeout(PATIENCE));
  }

  /** What is wrong with the session, in words; nothing where each step was done once. Call it when all is finished. */
  async wrongs(client: Livescope): Promise<string[]> {
    const session = client.attach(this.sessionId);
    const [log, begun] = await session.execute<[string[], string[]]>("[log, begun]");
    const wrongs: string[] = [];
    const known = new Set(this.steps.map(({ id }) => id));
    for (const id of log) if (!known.has(id)) wrongs.push(`${id} was never asked for`);
    for (const { id, kind, place, isAbandoned } of this.steps) {
      const times = log.filter((each) => each === id).length;
      if (isAbandoned === true && times <= 1) continue;
      if (times !== 1) wrongs.push(`${id} (${kind}) was done ${times} times`);
      if (place === undefined) wrongs.push(`${id} (${kind}) was never answered`);
      else if (log[place - 1] !== id)
        wrongs.push(`${id} (${kind}) was answered as number ${place}, where ${log[place - 1]} is`);
      const starts = begun.filter((each) => each === id).length;
      if (kind !== "append" && starts !== 1) wrongs.push(`${id} (${kind}) was begun ${starts} times`);
      const keys = this.#keys.get(id)?.size ?? 0;
      if (kind === "asking" && keys !== 1) wrongs.push(`${id} was asked for by ${keys} keys`);
    }
    return wrongs;
  }
}

export async function connect(address: string): Promise<Livescope> {
  for (const end = Date.now() + PATIENCE; ; await sleep(20)) {
    try {
      return await Livescope.connect(address, { connectTimeout: 1_000 });
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

/** Does something again while the service is not there. Undefined: it was told to stop before. */
async function repeat<T>(until: AbortSignal, work: () => Promise<T>): Promise<T | undefined> {
  for (const end = Date.now() + PATIENCE; ; await sleep(10)) {
    try {
      return await work();
    } catch (error) {
      const isPassing =
        error instanceof StatusError && (error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED");
      if (!isPassing || Date.now() > end) throw error;
      if (until.aborted) return undefined;
    }
  }
}
