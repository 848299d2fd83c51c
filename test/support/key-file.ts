import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file with a signing key, which is gone with the process. @param key 32 bytes */
export function keyFileOf(key: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "livescope-key-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "key");
  writeFileSync(file, key, { mode: 0o600 });
  return file;
}
