/** What is known of a database as a whole. */
import { crc32 } from "node:zlib";
import type Library from "libsql";
import { bytes, number, textOf } from "./columns.js";

export const FACTS_SCHEMA = `
  CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) STRICT;
`;

export class Facts {
  readonly #get: Library.Statement;
  readonly #put: Library.Statement;

  constructor(connection: Library.Database) {
    this.#get = connection.prepare(`SELECT ${bytes("value")}, ${number("checksum")} FROM facts WHERE name = ?`);
    this.#put = connection.prepare("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)");
  }

  /** One that was damaged is as good as none. */
  get(name: string): string | undefined {
    const [found] = this.#get.all(name) as { value: ArrayBuffer; checksum: number }[];
    if (found === undefined) return undefined;
    const value = textOf(found.value);
    return crc32(value) === found.checksum ? value : undefined;
  }

  put(name: string, value: string): boolean {
    this.#put.run(name, value, crc32(value));
    return true;
  }
}
