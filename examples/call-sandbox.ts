/**
 * A `callSandbox(code, scope)` for programs that were written for `exec` with a scope. They are not changed: the scope object
 * that they pass stands for a live session. What one call defines, the next one finds, as it is and not as a copy.
 *
 *     npx tsx examples/call-sandbox.ts 127.0.0.1:50051
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { Handle, Livescope, type Session } from "@livescope/sdk";

/** The names that a program shares with guest code. */
export type Scope = Record<string, unknown>;

/** Sessions by the scopes that stand for them. Disposing of it deletes them. */
export class Sandbox implements AsyncDisposable {
  readonly #client: Livescope;
  readonly #scopes = new Map<Scope, Promise<LiveScope>>();

  constructor(client: Livescope) {
    this.#client = client;
  }

  /**
   * Runs code with the names of `scope`, and gives its completion value. Afterwards `scope` has what guest code made of them:
   * plain values as copies, functions as async functions that call the live ones, also when the code threw.
   * @throws {GuestError} if the code throws
   * @throws {StoppedError} if it takes too long or too much; then nothing of it stands
   */
  readonly callSandbox = async (code: string, scope: Scope): Promise<unknown> => {
    let live = this.#scopes.get(scope);
    if (live === undefined) {
      // Nobody says when a scope is not needed any more, so a session that is not used leaves memory instead of ending.
      live = this.#client.createSession({ idleAction: "hibernate" }).then((session) => new LiveScope(session));
      this.#scopes.set(scope, live);
      live.catch(() => this.#scopes.delete(scope));
    }
    return (await live).run(code, scope);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    const scopes = [...this.#scopes.values()];
    this.#scopes.clear();
    await Promise.all(scopes.map(async (scope) => (await scope).session.delete()));
  }
}

class LiveScope {
  readonly session: Session;
  /** What each name meant when the scope and the session last agreed about it. */
  #agreed = new Map<string, unknown>();
  readonly #callables = new Map<Handle, (...args: unknown[]) => Promise<unknown>>();
  readonly #handles = new WeakMap<object, Handle>();
  /** Calls of one scope take turns: each has the whole of it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(session: Session) {
    this.session = session;
  }

  run(code: string, scope: Scope): Promise<unknown> {
    const run = async (): Promise<unknown> => {
      await this.#send(scope);
      try {
        return this.#live(await this.session.execute(code, { onConsole: ({ level, text }) => console[level](text) }));
      } finally {
        await this.#receive(scope);
      }
    };
    const result = this.#last.then(run);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Tells the session what the program did to its scope since. All else stays as it is there, with whoever refers to it. */
  async #send(scope: Scope): Promise<void> {
    const changed = Object.entries(scope).filter(([name, value]) => meaning(value) !== this.#agreed.get(name));
    const deleted = [...this.#agreed.keys()].filter((name) => !Object.hasOwn(scope, name));
    // As bindings they may be of every kind, functions of the program too; what is no name is refused before anything runs.
    const bound = Object.fromEntries(changed.map(([name, value]) => [name, this.#handles.get(Object(value)) ?? value]));
    if (changed.length + deleted.length === 0) return;
    await this.session.execute(`Object.assign(globalThis, { ${Object.keys(bound).join(", ")} })`, { bindings: bound });
    await this.session.execute("for (const name of deleted) delete globalThis[name]", { bindings: { deleted } });
  }

  /** Brings the scope up to date. */
  async #receive(scope: Scope): Promise<void> {
    const names = Object.entries(await this.session.execute<Scope>("({ ...globalThis })"));
    for (const name of Object.keys(scope)) delete scope[name];
    for (const [name, value] of names) scope[name] = this.#live(value);
    this.#agreed = new Map(Object.entries(scope).map(([name, value]) => [name, meaning(value)]));
  }

  /** A function that the program can call, in place of the handle of one. */
  #live(value: unknown): unknown {
    if (!(value instanceof Handle) || value.type !== "function") return value;
    const callable = this.#callables.get(value) ?? (async (...args) => this.#live(await value.call(args)));
    this.#callables.set(value, callable);
    this.#handles.set(callable, value);
    return callable;
  }
}

/** What tells one value from another: functions are themselves, all else is what it prints as. */
function meaning(value: unknown): unknown {
  if (typeof value === "function") return value;
  return inspect(value, { depth: Infinity, maxArrayLength: Infinity, maxStringLength: Infinity, compact: true });
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  await using client = await Livescope.connect(argv[2] ?? "127.0.0.1:50051");
  await using sandbox = new Sandbox(client);
  const { callSandbox } = sandbox;
  // A program as it was written for exec.
  const scope: Scope = { total: 1, prices: [2, 3] };
  await callSandbox("function add(n) { return total += n }", scope);
  await callSandbox("for (const price of prices) add(price)", scope);
  console.log("total:", scope.total);
}
