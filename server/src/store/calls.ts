/** What the main thread and the thread of the database say to each other. */
import type {
  AddAnswer,
  CommitAnswer,
  ExpiredSession,
  Page,
  PageOptions,
  StoredBase,
  StoredCommit,
  StoredDurable,
  StoredSession,
  StoredSnapshot,
  StoreErrorKind,
} from "./store.js";

export interface Kinds {
  readonly snapshots: StoredSnapshot;
  readonly sessions: StoredSession;
}
export type Kind = keyof Kinds;
export type StoredItem = Kinds[Kind];

/** As the database has it: its deltas take more room when they are unpacked, all of them more than a process may have. */
export interface PackedDurable extends Omit<StoredDurable, "image" | "deltas"> {
  readonly image: Uint8Array<ArrayBuffer>;
  readonly deltas: Uint8Array<ArrayBuffer>[];
}

/** What can be asked of the database, and what it answers. */
export interface Calls {
  readonly put: {
    readonly asks: { kind: Kind; id: string; item: StoredItem; image: Uint8Array; replace: boolean };
    /** False: one with this id is here and was not to be replaced. */
    readonly answers: boolean;
  };
  readonly addDurable: {
    readonly asks: { item: StoredSession; image: Uint8Array; owner: number; most: number };
    readonly answers: AddAnswer;
  };
  readonly commit: {
    /** @property isPacked its delta is as it is kept */
    readonly asks: { commit: StoredCommit; isPacked?: boolean };
    readonly answers: CommitAnswer;
  };
  readonly rebase: { readonly asks: { base: StoredBase }; readonly answers: CommitAnswer };
  readonly durable: { readonly asks: { id: string }; readonly answers: PackedDurable | undefined };
  readonly expiredDurable: {
    readonly asks: { now: number; after: ExpiredSession | undefined };
    readonly answers: readonly ExpiredSession[];
  };
  readonly deleteExpired: { readonly asks: { id: string; now: number }; readonly answers: boolean };
  readonly busySessions: { readonly asks: object; readonly answers: readonly string[] };
  readonly durableCount: { readonly asks: object; readonly answers: number };
  readonly item: { readonly asks: { kind: Kind; id: string }; readonly answers: StoredItem | undefined };
  readonly image: { readonly asks: { kind: Kind; id: string }; readonly answers: Uint8Array<ArrayBuffer> | undefined };
  readonly page: { readonly asks: { kind: Kind; options: PageOptions }; readonly answers: Page<StoredItem> };
  readonly delete: { readonly asks: { kind: Kind; id: string }; readonly answers: boolean };
  readonly keyId: { readonly asks: object; readonly answers: string | undefined };
  readonly noteKey: { readonly asks: { keyId: string }; readonly answers: boolean };
  /** Deletes a bounded number of what has expired, so that other calls have their turn. */
  readonly expire: { readonly asks: { now: number }; readonly answers: { sessions: string[]; more: boolean } };
}
export type CallName = keyof Calls;

export type Call = { readonly [N in CallName]: { readonly name: N } & Calls[N]["asks"] }[CallName];

export type Answer = { readonly value: Calls[CallName]["answers"] } | Failure;

export interface Failure {
  readonly failed: StoreErrorKind;
  readonly message: string;
}

export type ThreadRequest = { readonly number: number; readonly call: Call } | { readonly close: true };

export type ThreadMessage =
  /** The database is open and locked. */
  | { readonly type: "open" }
  /** It is not; the thread ends. */
  | { readonly type: "refused"; readonly failure: Failure }
  | { readonly type: "answer"; readonly number: number; readonly answer: Answer };

export interface ThreadSetup {
  readonly directory: string;
  /** Noted in a database that is made; absent: it is not known yet. */
  readonly keyId?: string | undefined;
}
