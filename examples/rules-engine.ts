/**
 * A service that holds rules which its users wrote: loaded once, asked about every request. A rule that throws, hangs or eats
 * memory spoils its own verdict and nothing else. A new version takes the place of the old one between two requests.
 *
 *     npx tsx examples/rules-engine.ts 127.0.0.1:50051
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { ExecutionError, GuestError, Livescope, type Session } from "@livescope/sdk";

/** What a rule says about a request, or why it could say nothing. */
export type Verdict =
  | { readonly rule: string; readonly verdict: unknown }
  | { readonly rule: string; readonly problem: string };

/** A rule that is loaded, with the calls that it has not answered. */
interface Rule {
  readonly session: Session;
  readonly calls: Set<Promise<unknown>>;
}

export class RulesEngine implements AsyncDisposable {
  readonly #client: Livescope;
  readonly #timeout: number;
  readonly #loadTimeout: number;
  readonly #rules = new Map<string, Rule>();

  /** @param timeout what a rule has for one request; @param loadTimeout what it has to be loaded; both in milliseconds */
  constructor(client: Livescope, { timeout = 100, loadTimeout = 1_000 } = {}) {
    this.#client = client;
    this.#timeout = timeout;
    this.#loadTimeout = loadTimeout;
  }

  /**
   * Loads a rule: JavaScript that defines a function `decide(request)`. What it computes at top level it computes once. If there
   * is a rule of that name it decides until this one is ready; if this one is no good it stays.
   * @throws {ExecutionError} if the rule throws, takes too long, or defines no such function
   */
  async load(name: string, source: string): Promise<void> {
    // A session of its own for each: no rule sees another's names, and what it may use is its own.
    const session = await this.#client.createSession({ limits: { memoryBytes: 16 << 20 } });
    try {
      await session.execute(source, { filename: `${name}.js`, timeout: this.#loadTimeout });
      await session.execute("if (typeof decide !== 'function') throw new TypeError('a rule defines decide(request)')");
    } catch (error) {
      await session.delete();
      throw error;
    }
    const old = this.#rules.get(name);
    this.#rules.set(name, { session, calls: new Set() });
    if (old !== undefined) await end(old);
  }

  /** Asks all rules at once. It does not reject because of a rule. */
  async decide(request: unknown): Promise<Verdict[]> {
    return Promise.all([...this.#rules].map(([name, rule]) => this.#ask(name, rule, request)));
  }

  async #ask(rule: string, { session, calls }: Rule, request: unknown): Promise<Verdict> {
    const call = session.call("decide", [request], { timeout: this.#timeout });
    calls.add(call);
    try {
      return { rule, verdict: await call };
    } catch (error) {
      if (error instanceof ExecutionError) return { rule, problem: describe(error) };
      throw error;
    } finally {
      calls.delete(call);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const rules = [...this.#rules.values()];
    this.#rules.clear();
    await Promise.all(rules.map(end));
  }
}

/** Lets a rule answer what it was asked, and deletes it. */
async function end({ session, calls }: Rule): Promise<void> {
  await Promise.allSettled(calls);
  await session.delete();
}

/** What the author of a rule needs to know: what was thrown and where, or which limit it met. */
function describe(error: ExecutionError): string {
  if (!(error instanceof GuestError)) return error.message;
  const [frame] = error.frames;
  return `${error.guestName}: ${error.message}${frame ? ` (${frame.filename}:${frame.line}:${frame.column})` : ""}`;
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  await using client = await Livescope.connect(argv[2] ?? "127.0.0.1:50051");
  await using engine = new RulesEngine(client);
  await engine.load(
    "limit",
    "const MOST = 1000; function decide({ amount }) { return amount <= MOST ? 'ok' : 'too much' }",
  );
  await engine.load("typo", "function decide(order) {\n  return order.customer.nmae.length > 0;\n}");
  await engine.load("hangs", "function decide() { for (;;); }");
  for (const verdict of await engine.decide({ amount: 1200, customer: { name: "ann" } })) console.log(verdict);

  await engine.load("limit", "function decide({ amount }) { return amount <= 2000 ? 'ok' : 'too much' }");
  console.log((await engine.decide({ amount: 1200 }))[0]);
}
