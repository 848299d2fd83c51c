/** Types of guests: what code in a session is, as seen from here. docs/guests.md tells how they are used. */
import type { ExecutionPromise } from "./execution.js";
import type { ExecutionStream } from "./execution-stream.js";
import type { Handle } from "./handle.js";
import type { HostCallContext } from "./host-function.js";
import type { CallOptions } from "./options.js";

/**
 * A live value of a session as a typed proxy: what {@link Session.load} gives of a module, `new` of a class, and a call of what
 * cannot be copied. Whoever it was given to releases it, by leaving an `await using` block, and with it all that was read from it
 * is of no use any more.
 *
 * Reading a property asks nothing of the session: it gives another proxy, of the place where the value is. What asks is calling it, `new`,
 * iterating, and the operations whose names begin with `$`.
 */
export type Guest<T> = GuestMember<T> &
  AsyncDisposable & {
    /** The handle that keeps the value alive. It is the same reference. */
    readonly $handle: Handle;
  };

/** A place within a {@link Guest}, or the names of a session. It has nothing to release, and is of use as long as the guest is. */
export type GuestMember<T> =
  IsAny<T> extends true ? T : GuestOperations<T> & Called<Present<T>> & Iterated<Present<T>> & Members<Present<T>>;

/** What can be asked of every place of a guest. */
export interface GuestOperations<T> {
  /**
   * Gives a copy of the value that stands here, or what it resolves to if it is a promise.
   * @throws as `session.execute`
   */
  $value(): ExecutionPromise<Copied<Settled<T>>>;
  /**
   * Gives the value that stands here now as a guest of its own, whatever comes to stand here later. The caller releases it.
   * @throws as `session.execute`
   */
  $ref(): ExecutionPromise<Guest<T>>;
  /** The same place, with options for the calls that are made from there: `guest.$with({ timeout: 100 }).inc(3)`. */
  $with(options: CallOptions): GuestMember<T>;
  /** The place of a property, whatever its name is: also one that begins with `$`, or `then`. */
  $at<K extends MemberName<T>>(name: K): GuestMember<MemberAt<T, K>>;
}

/** Under way: the call of a guest's function. It is the promise of its result, as `session.call` gives it. */
export interface GuestCall<T> extends ExecutionPromise<T> {
  /**
   * Gives the values that the call emits as they come, and those that the generator yields which it returns; see {@link Session.stream}.
   * To be called in the expression that makes the call.
   * @throws {LivescopeError} if the call is on its way already
   */
  stream<E = unknown>(): ExecutionStream<E, T>;
}

/** What the call of a function gives that returns R: where that can be iterated over, it can be here. */
export type GuestResult<R> = GuestCall<Copied<Settled<R>>> & Iterated<Settled<R>>;

/**
 * What a value is once it has come out of its session. Data is copied, objects of a class without their methods: since types do not tell
 * a class from other objects, members that are functions may be missing. What cannot be copied is a {@link Guest}.
 */
export type Copied<T> = unknown extends T
  ? T
  : T extends Primitive | CopiedAsItIs
    ? T
    : T extends ReadonlyMap<infer K, infer V>
      ? Map<Copied<K>, Copied<V>>
      : T extends ReadonlySet<infer V>
        ? Set<Copied<V>>
        : T extends AnyFunction | AnyClass | StaysThere
          ? Guest<T>
          : T extends readonly (infer V)[]
            ? CopiedList<T, V>
            : T extends object
              ? CopiedObject<T>
              : T;

/** Written as a list where it is no tuple: of a list of itself, as JSON is one, the compiler then asks only when it has to. */
type CopiedList<T extends readonly unknown[], V> = V[] extends T
  ? T extends V[]
    ? Copied<V>[]
    : readonly Copied<V>[]
  : { [I in keyof T]: Copied<T[I]> };

/**
 * What is sent where a guest's function takes a T: such a value, a place of a guest where one stands, or a handle. For a function
 * a function of this process will do, which the guest calls: it gets a promise of the result, and has to await it.
 */
export type Sent<T> = SentValue<T> | GuestOperations<T> | Handle;

type SentValue<T> = unknown extends T ? T : T extends AnyFunction ? SentFunction<T> : SentWithin<T>;

/** A function of this process in place of a guest's. */
type SentFunction<F> = F extends (...args: infer A extends readonly unknown[]) => infer R
  ? (...args: [...{ [I in keyof A]: Copied<A[I]> }, HostCallContext]) => Returned<R>
  : never;

// biome-ignore lint/suspicious/noConfusingVoidType: it is the result of a function
type Returned<R> = [R] extends [void] ? unknown : SentWithin<Settled<R>> | Promise<SentWithin<Settled<R>>>;

/** What stands for a T within another value, where no function of this process can. */
type SentWithin<T> = unknown extends T
  ? T
  : T extends Primitive | CopiedAsItIs
    ? T
    : T extends ReadonlyMap<infer K, infer V>
      ? ReadonlyMap<SentWithin<K>, SentWithin<V>> | Live<T>
      : T extends ReadonlySet<infer V>
        ? ReadonlySet<SentWithin<V>> | Live<T>
        : T extends AnyFunction | AnyClass | StaysThere
          ? Live<T>
          : T extends Iterable<infer V>
            ? (V[] extends T ? readonly SentWithin<V>[] : { [I in keyof T]: SentWithin<T[I]> }) | Live<T>
            : T extends object
              ? { [K in keyof T]: SentWithin<T[K]> } | Live<T>
              : T;

/** A guest that a handle keeps alive, and not a place below one. */
type Live<T> = (GuestOperations<T> & Pick<Guest<T>, "$handle">) | Handle;

type SentArguments<A extends readonly unknown[]> = { [I in keyof A]: Sent<A[I]> };

/** What a promise of the guest's gives; other objects with a `then` are none there. */
type Settled<T> = T extends PromiseLike<infer V> ? Settled<V> : T;
/** Of what may be missing the places are those that it has when it is there. */
type Present<T> = unknown extends T ? T : NonNullable<T>;
type IsAny<T> = 0 extends 1 & T ? true : false;
type Primitive = string | number | boolean | bigint | null | undefined;
type AnyFunction = (...args: never) => unknown;
type AnyClass = abstract new (...args: never) => unknown;

/** Objects that come out as what they went in. */
type CopiedAsItIs = Date | RegExp | Error | ArrayBuffer | ArrayBufferView;

/** What structured cloning refuses, besides functions. */
type StaysThere =
  | symbol
  | PromiseLike<unknown>
  | Iterator<unknown, unknown, never>
  | AsyncIterator<unknown, unknown, never>
  | AsyncIterable<unknown>
  | WeakMap<WeakKey, unknown>
  | WeakSet<WeakKey>
  | WeakRef<WeakKey>;

type CopiedObject<T> = [FunctionKey<T>] extends [never]
  ? { [K in keyof T as Exclude<K, symbol>]: Copied<T[K]> }
  : { [K in keyof T as Exclude<K, symbol | FunctionKey<T>>]: Copied<T[K]> } & {
      // An object with a function `then` would be a promise to whoever awaits it.
      [K in FunctionKey<T>]?: K extends "then" ? Handle : Copied<T[K]>;
    };

type FunctionKey<T> = {
  [K in keyof T]-?: K extends symbol ? never : NonNullable<T[K]> extends AnyFunction | AnyClass ? K : never;
}[keyof T];

/** Functions can be called, and classes constructed; which of the two it is nobody knows of what is unknown. */
type Called<T> = unknown extends T
  ? ((...args: unknown[]) => GuestCall<unknown>) & CalledBy<unknown[], unknown>
  : ([T] extends [(...args: infer A extends readonly unknown[]) => infer R]
      ? ((...args: SentArguments<A>) => GuestResult<R>) & CalledBy<A, R>
      : unknown) &
      ([T] extends [new (...args: infer A extends readonly unknown[]) => infer I]
        ? new (
            ...args: SentArguments<A>
          ) => ExecutionPromise<Guest<I>>
        : unknown);

/** No interface: the compiler writes out what others export of a guest, and could not name one that is not exported. */
type CalledBy<A extends readonly unknown[], R> = {
  /**
   * Calls the function, and keeps what it gives, awaited, in the session: it comes as a guest whatever it is, also where it could be
   * copied, and with its methods. The caller releases it.
   */
  $keep(...args: SentArguments<A>): ExecutionPromise<Guest<Settled<R>>>;
};

/** What can be iterated over in the session can be from here: its values come as they are made. */
type Iterated<T> = unknown extends T
  ? unknown
  : [T] extends [never]
    ? unknown
    : [T] extends [string]
      ? unknown
      : [T] extends [AsyncIterable<infer Y> | Iterable<infer Y>]
        ? AsyncIterable<Copied<Settled<Y>>>
        : unknown;

type Members<T> = NotInherited<T> &
  (unknown extends T
    ? unknown
    : T extends object
      ? { readonly [K in keyof T as Exclude<K, symbol | Reserved>]-?: GuestMember<T[K]> }
      : unknown);

/** Names that a proxy has for itself, or has not, so that it is no promise. Such members are reached by `$at`. */
type Reserved = keyof GuestOperations<unknown> | "$keep" | "$handle" | "then" | "toJSON";

type MemberName<T> = unknown extends T ? string | number : Exclude<keyof T, symbol>;
type MemberAt<T, K> = K extends keyof T ? T[K] : unknown;

/**
 * What the compiler would take for granted of every object and function, and what is a place in the session like every other name: it
 * must not be taken for what it is here.
 */
type NotInherited<T> = { readonly [K in Exclude<ObjectMember | FunctionMember, keyof T>]: never };
type ObjectMember =
  | "constructor"
  | "hasOwnProperty"
  | "isPrototypeOf"
  | "propertyIsEnumerable"
  | "toLocaleString"
  | "toString"
  | "valueOf";
type FunctionMember = "apply" | "arguments" | "bind" | "call" | "caller" | "length" | "name" | "prototype";
