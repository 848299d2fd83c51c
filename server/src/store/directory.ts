/** The data directory: who may use it, and what may be wrong with it. */
import { accessSync, closeSync, constants, fsyncSync, mkdirSync, openSync, type Stats, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { StoreError } from "./store.js";

/** Name a thing in the directory has. */
export const DATABASE_FILE = "store.db";
export const KEY_FILE = "key";

const OTHER_WAYS = "name another one with --data DIR, or keep nothing on disk with --data none";

/** Windows has no such bits; Node makes them up there. */
const HAS_MODES = process.platform !== "win32";

/**
 * Whether the directory is there. Looks that it can be used or made; makes nothing.
 *
 * @throws StoreError
 */
export function checkDirectory(directory: string): boolean {
  const found = look(directory);
  if (found === undefined) {
    checkParent(directory, dirname(resolve(directory)));
    return false;
  }
  if (!found.isDirectory()) throw refusal(directory, `is not a directory; ${OTHER_WAYS}`);
  if (HAS_MODES && (found.mode & 0o022) !== 0) {
    throw refusal(directory, `can be written by other users; protect it with: chmod 700 ${directory}`);
  }
  if (!isUsable(directory)) throw refusal(directory, `may not be read and written by this user; ${OTHER_WAYS}`);
  return true;
}

/**
 * Makes the directory, for this user alone, where it is not there.
 *
 * @throws StoreError
 */
export function makeDirectory(directory: string): void {
  if (checkDirectory(directory)) return;
  try {
    makeWithParents(resolve(directory));
  } catch (error) {
    throw fileFailure(error, directory);
  }
  syncDirectory(dirname(resolve(directory)));
}

/** Node's own way goes round in circles where a file system says of a parent that it is there and of the directory that it is not. */
function makeWithParents(directory: string): void {
  const parent = dirname(directory);
  if (look(parent) === undefined) makeWithParents(parent);
  mkdirSync(directory, { mode: 0o700 });
}

/** Makes the names in a directory last. */
export function syncDirectory(directory: string): void {
  // Windows opens no directories, and needs no such thing.
  if (!HAS_MODES) return;
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** What a failing operation on a file means for the store. */
export function fileFailure(error: unknown, path: string): StoreError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StoreError("full", `there is no room to write ${path}; free some and try again`);
  }
  return new StoreError("broken", `cannot use ${path}: ${message}; ${OTHER_WAYS}`);
}

/** Whether others than its owner may read or write a file. */
export function isExposed({ mode }: Stats): boolean {
  return HAS_MODES && (mode & 0o077) !== 0;
}

function checkParent(directory: string, parent: string): void {
  const found = look(parent);
  if (found === undefined) checkParent(directory, dirname(parent));
  else if (!found.isDirectory() || !isUsable(parent)) {
    throw refusal(directory, `cannot be made, for ${parent} is not a directory that may be written; ${OTHER_WAYS}`);
  }
}

function look(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENOTDIR: a parent is a file, which the look at that parent tells better.
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw fileFailure(error, path);
  }
}

function isUsable(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function refusal(directory: string, reason: string): StoreError {
  return new StoreError("broken", `the data directory ${directory} ${reason}`);
}
