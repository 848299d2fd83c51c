/** The key with which this server signs the snapshots that it exports: 32 bytes in a file of their own. */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, linkSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fileFailure, isExposed, syncDirectory } from "./directory.js";
import { StoreError } from "./store.js";

export const KEY_BYTES = 32;

/**
 * The key in a file; undefined when there is no such file.
 *
 * @throws StoreError when the file is not a key that only its owner can read
 */
export function readKey(file: string): Uint8Array | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw keyFailure(file, `cannot be read: ${(error as Error).message}`);
  }
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile() || found.size !== KEY_BYTES) {
      throw keyFailure(file, `is not a key: it has to be a file of exactly ${KEY_BYTES} bytes`);
    }
    if (isExposed(found)) throw keyFailure(file, `can be read by other users; protect it with: chmod 600 ${file}`);
    const key = new Uint8Array(KEY_BYTES);
    if (readSync(descriptor, key) !== KEY_BYTES) throw keyFailure(file, "changed while it was read; try again");
    return key;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The key in a file, which is made where it is not there. The directory is.
 *
 * @throws StoreError
 */
export function readOrMakeKey(file: string): Uint8Array {
  const found = readKey(file);
  if (found !== undefined) return found;
  // Whole under another name first: nobody ever sees half a key, and the first of two that make one wins.
  const draft = `${file}.${randomBytes(8).toString("hex")}`;
  try {
    writeDraft(draft);
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw fileFailure(error, file);
  } finally {
    rmSync(draft, { force: true });
  }
  syncDirectory(dirname(file));
  const made = readKey(file);
  if (made === undefined) throw keyFailure(file, "vanished while it was made; try again");
  return made;
}

function writeDraft(file: string): void {
  const descriptor = openSync(file, "wx", 0o600);
  try {
    writeSync(descriptor, randomBytes(KEY_BYTES));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function keyFailure(file: string, reason: string): StoreError {
  return new StoreError("broken", `the key file ${file} ${reason}`);
}
