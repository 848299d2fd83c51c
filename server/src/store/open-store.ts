/** The store of a server, and the key that goes with it, as the command line asks for them. */
import { createHmac, randomBytes } from "node:crypto";
import { join } from "node:path";
import { checkDirectory, KEY_FILE } from "./directory.js";
import { KEY_BYTES, readKey, readOrMakeKey } from "./key.js";
import { MemoryStore } from "./memory.js";
import { SqliteStore } from "./sqlite.js";
import { type Store, StoreError } from "./store.js";

const KEY_ID_DIGITS = 32;

export interface StoreOptions {
  /** The data directory; absent: what is stored ends with the process. */
  readonly directory?: string | undefined;
  /** A file with the signing key; absent: the one of the data directory. */
  readonly keyFile?: string | undefined;
}

export interface OpenedStore {
  /** Whoever opened it closes it. */
  readonly store: Store;
  /**
   * The 32 bytes with which this server signs the snapshots that it exports, and checks those that it imports. Made when first
   * asked for.
   *
   * @throws StoreError; a later call tries again
   */
  signingKey(): Promise<Uint8Array>;
}

/**
 * A data directory that is there is opened, and so locked, at once; one that is not is made by the first write.
 *
 * @throws StoreError when the directory or the key cannot be used
 */
export async function openStore({ directory, keyFile }: StoreOptions): Promise<OpenedStore> {
  const namedKey = keyFile === undefined ? undefined : readNamedKey(keyFile);
  if (directory === undefined) {
    const key = namedKey ?? new Uint8Array(randomBytes(KEY_BYTES));
    return { store: new MemoryStore(), signingKey: async () => key };
  }
  const store = new SqliteStore(directory, namedKey === undefined ? undefined : idOf(namedKey));
  const ownKeyFile = join(directory, KEY_FILE);
  let key = namedKey;
  if (checkDirectory(directory)) {
    key ??= readKey(ownKeyFile);
    await store.open();
    try {
      if (await hasSealed(store)) {
        key ??= readNeededKey(ownKeyFile);
        await checkKey(store, key, keyFile ?? ownKeyFile);
      }
    } catch (error) {
      await store.close();
      throw error;
    }
  }
  let isChecked = false;
  const signingKey = async (): Promise<Uint8Array> => {
    // A named one is asked for also by who leaves nothing behind; the database knows it once it is made.
    if (key !== undefined && (isChecked || !checkDirectory(directory))) return key;
    // Opened first, so that no directory has a key and no lock.
    await store.open();
    const isNeeded = await hasSealed(store);
    // Read after it is known what is there: somebody who asked at the same moment may have made it, and used it.
    key ??= isNeeded ? readNeededKey(ownKeyFile) : readOrMakeKey(ownKeyFile);
    // Of what is there already nobody knows that it was this one.
    if (isNeeded) await checkKey(store, key, keyFile ?? ownKeyFile);
    else await store.noteKey(idOf(key));
    isChecked = true;
    return key;
  };
  return { store, signingKey };
}

/** Whether anything is here that outlives a process, and was signed with a key: that was on the disk before. */
async function hasSealed(store: Store): Promise<boolean> {
  if ((await store.durableCount()) > 0) return true;
  try {
    const { items } = await store.snapshots({ size: 1, after: "", labels: new Map(), now: Date.now() });
    return items.length > 0;
  } catch (error) {
    // One that is damaged is there, and only a server that has started can delete it.
    if (error instanceof StoreError && error.kind === "damaged") return true;
    throw error;
  }
}

/** The key of what is in the store. Another one in its place would make all of it unreadable, and nobody would know why. */
function readNeededKey(file: string): Uint8Array {
  const key = readKey(file);
  if (key !== undefined) return key;
  const what = "is not there, and the snapshots and durable sessions of its directory were signed with it";
  const advice = "put it back from a backup, name it with --key-file, or move the directory away to begin with nothing";
  throw new StoreError("broken", `the key file ${file} ${what}; ${advice}`);
}

/** @throws StoreError where it is known that what is in the store was signed with another one */
async function checkKey(store: Store, key: Uint8Array, file: string): Promise<void> {
  const keyId = await store.keyId();
  if (keyId === undefined || keyId === idOf(key)) return;
  const what =
    "is another one than that which the snapshots and durable sessions of the data directory were signed with";
  const advice = "put that back, name it with --key-file, or move the directory away to begin with nothing";
  throw new StoreError("broken", `the key file ${file} ${what}; ${advice}`);
}

/** Names a key, and tells nothing of it. */
function idOf(key: Uint8Array): string {
  return createHmac("sha256", key).update("key id").digest("hex").slice(0, KEY_ID_DIGITS);
}

function readNamedKey(file: string): Uint8Array {
  const key = readKey(file);
  if (key !== undefined) return key;
  const advice = `make one with: (umask 077; head -c ${KEY_BYTES} /dev/urandom > ${file})`;
  throw new StoreError("broken", `the key file ${file} is not there; ${advice}`);
}
