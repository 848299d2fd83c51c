/** Keys in files, as servers take them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** @param key 32 bytes; @returns the path of a file that is gone after the last test */
export function keyFile(key: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "livescope-key-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "key");
  writeFileSync(file, key, { mode: 0o600 });
  return file;
}
