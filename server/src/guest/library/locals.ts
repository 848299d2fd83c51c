/**
 * Bindings that exist for one execution, or one block, and for all that it calls: `locals`, `Locals` and `AsyncContext`. All are
 * entries of the running context, which follows the code (contexts.ts, continuations.ts).
 */
import { bind, findBinding, runWith } from "../bindings.js";
import { type Binding, Context, currentContext, executionLocals } from "../contexts.js";
import {
  apply,
  construct,
  create,
  defineProperty,
  getOwnPropertyDescriptor,
  hasOwn,
  KernelProxy,
  KernelReferenceError,
  KernelTypeError,
  ownKeys,
  SafeWeakSet,
  toStringTag,
} from "../intrinsics.js";

type Values = Readonly<Record<string, unknown>>;
type Callback = (...args: unknown[]) => unknown;

/** The method by which names are bound; no name can be bound that would hide it. */
const WITH = "with";

/** Objects that guest code reads locals through. Each stands for its bindings in contexts, but for `locals` itself. */
const views = new SafeWeakSet<object>();

function refuse(name: PropertyKey): never {
  throw new KernelTypeError(`locals cannot be assigned: bind ${text(name)} with locals.with({ … }, fn)`);
}

function text(name: PropertyKey): string {
  return typeof name === "symbol" ? "it" : `${name}`;
}

/** What reads undefined where it is not bound: the language itself looks for these in any object. */
function isAsked(name: PropertyKey): boolean {
  return typeof name === "symbol" || name === "then" || name === "toJSON";
}

/** An object that guest code reads locals through. Its traps are the kernel's and run no guest code. */
function makeView(prototype: object, key?: object): object {
  const valuesNow = (): Values | undefined => valuesIn(Context.bindingsOf(currentContext()), key ?? view);
  const traps = {
    __proto__: null,
    get(_target: object, name: PropertyKey): unknown {
      const values = valuesNow();
      if (values !== undefined && hasOwn(values, name)) return values[name as string];
      if (name === WITH) return withValues;
      if (name === toStringTag) return "Locals";
      if (isAsked(name)) return undefined;
      throw new KernelReferenceError(`${text(name)} is not bound in these locals`);
    },
    has(_target: object, name: PropertyKey): boolean {
      const values = valuesNow();
      return values !== undefined && hasOwn(values, name);
    },
    set: (_target: object, name: PropertyKey) => refuse(name),
    defineProperty: (_target: object, name: PropertyKey) => refuse(name),
    deleteProperty: (_target: object, name: PropertyKey) => refuse(name),
    setPrototypeOf: () => refuse("a prototype"),
    preventExtensions: () => false,
    ownKeys: () => ownKeys(valuesNow() ?? {}),
    getOwnPropertyDescriptor(_target: object, name: PropertyKey): PropertyDescriptor | undefined {
      const values = valuesNow();
      if (values === undefined || !hasOwn(values, name)) return undefined;
      const value = values[name as string];
      return { __proto__: null, value, writable: false, enumerable: true, configurable: true } as PropertyDescriptor;
    },
  };
  const view = construct(KernelProxy, [create(prototype), traps]) as object;
  views.add(view);
  return view;
}

function valuesIn(bindings: Binding | undefined, key: object): Values | undefined {
  return findBinding(bindings, key)?.value as Values | undefined;
}

/** `locals.with({ … }, fn)`: what `fn` gives; the names are bound in what it calls, now and later. */
const withValues = {
  with(this: object, values: object, callback: Callback): unknown {
    if (typeof this !== "object" || this === null || !views.has(this)) {
      throw new KernelTypeError("with: this is no set of locals");
    }
    if (typeof values !== "object" || values === null)
      throw new KernelTypeError("with: the bindings must be an object");
    if (typeof callback !== "function") throw new KernelTypeError("with: what to run must be a function");
    const key = this === locals ? executionLocals : this;
    const bindings = Context.bindingsOf(currentContext());
    const all = create(null) as Record<PropertyKey, unknown>;
    const outer = valuesIn(bindings, key);
    if (outer !== undefined) copyValues(outer, all);
    copyValues(values, all);
    return runWith(bind(bindings, key, all), () => apply(callback, undefined, []));
  },
}.with;

function copyValues(from: object, to: Record<PropertyKey, unknown>): void {
  const names = ownKeys(from);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string | symbol;
    if (typeof name === "symbol" || getOwnPropertyDescriptor(from, name)?.enumerable !== true) continue;
    if (name === WITH) throw new KernelTypeError("with: the name `with` cannot be bound");
    to[name] = (from as Values)[name];
  }
}

class Locals {
  constructor() {
    // biome-ignore lint/correctness/noConstructorReturn: names are bound in contexts; this only reads them
    return makeView(new.target.prototype);
  }
}

interface VariableOptions {
  readonly name?: unknown;
  readonly defaultValue?: unknown;
}

/** As the proposal AsyncContext of TC39 has it. */
class Variable {
  readonly #name: string;
  readonly #defaultValue: unknown;

  constructor(options?: VariableOptions) {
    const name = options?.name;
    this.#name = name === undefined ? "" : `${name as string}`;
    this.#defaultValue = options?.defaultValue;
  }

  get name(): string {
    return this.#name;
  }

  run(value: unknown, callback: Callback, ...args: unknown[]): unknown {
    // Reading it first tells whether this is a variable.
    void this.#name;
    return runWith(bind(Context.bindingsOf(currentContext()), this, value), () => apply(callback, undefined, args));
  }

  get(): unknown {
    const defaultValue = this.#defaultValue;
    const found = findBinding(Context.bindingsOf(currentContext()), this);
    return found === undefined ? defaultValue : found.value;
  }
}

/** All bindings of the moment that it was made in, locals among them. What runs in it still runs for who calls it. */
class Snapshot {
  readonly #bindings = Context.bindingsOf(currentContext());

  run(callback: Callback, ...args: unknown[]): unknown {
    return runWith(this.#bindings, () => apply(callback, undefined, args));
  }

  static wrap(callback: unknown): Callback {
    if (typeof callback !== "function") throw new KernelTypeError("wrap: the argument must be a function");
    const bindings = Context.bindingsOf(currentContext());
    const wrapped = function (this: unknown, ...args: unknown[]): unknown {
      return runWith(bindings, () => apply(callback, this, args));
    };
    const { name, length } = callback as Callback;
    defineProperty(wrapped, "name", {
      __proto__: null,
      value: `wrapped ${name}`,
      configurable: true,
    } as PropertyDescriptor);
    defineProperty(wrapped, "length", { __proto__: null, value: length, configurable: true } as PropertyDescriptor);
    return wrapped;
  }
}

named(Locals, "Locals");
named(Variable, "Variable");
named(Snapshot, "Snapshot");
define(Locals.prototype, WITH, withValues);
tag(Variable.prototype, "AsyncContext.Variable");
tag(Snapshot.prototype, "AsyncContext.Snapshot");

const locals = makeView(Locals.prototype, executionLocals);

const AsyncContext = {};
define(AsyncContext, "Variable", Variable);
define(AsyncContext, "Snapshot", Snapshot);
tag(AsyncContext, "AsyncContext");

export { AsyncContext, Locals, locals };

/** Names are shortened when a library is built. */
function named(made: object, name: string): void {
  defineProperty(made, "name", { __proto__: null, value: name, configurable: true } as PropertyDescriptor);
}

function define(object: object, name: string, value: unknown): void {
  const attributes = { __proto__: null, value, writable: true, enumerable: false, configurable: true };
  defineProperty(object, name, attributes as PropertyDescriptor);
}

function tag(object: object, name: string): void {
  const attributes = { __proto__: null, value: name, writable: false, enumerable: false, configurable: true };
  defineProperty(object, toStringTag, attributes as PropertyDescriptor);
}
