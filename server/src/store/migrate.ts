/** Brings databases of earlier versions to the form of this one. Nothing is lost, and what was damaged is so afterwards. */
import { isUtf8 } from "node:buffer";
import type Library from "libsql";
import { withKeys } from "./checksums.js";
import { bytes, number, textOf } from "./columns.js";
import { checksumOfRow, DURABLE_SCHEMA, type DurableRow, PARTS_SCHEMA } from "./durable-tables.js";
import { FACTS_SCHEMA } from "./facts.js";

export const VERSION = 5;
/** Before durable sessions. */
const WITHOUT_DURABLE = 1;
/** Before durable sessions told the version of their image and the number of their outcomes, and checksums covered keys. */
const WITHOUT_COUNTS = 2;
/** Before parts of what is told of a session stood in rows of their own, and the key was known. */
const WITHOUT_PARTS = 3;
/** Before executions were such parts. */
const WITHOUT_EXECUTIONS = 4;

/** Rows in memory at once, without what they hold. */
const ROWS_AT_ONCE = 1_000;

/** To be called in a transaction. @returns false where the version is not one that is known */
export function migrate(connection: Library.Database, version: number): boolean {
  if (version < WITHOUT_DURABLE || version > WITHOUT_EXECUTIONS) return false;
  if (version === WITHOUT_DURABLE) connection.exec(DURABLE_SCHEMA);
  else if (version <= WITHOUT_PARTS) connection.exec(PARTS_SCHEMA);
  if (version === WITHOUT_COUNTS) addCounts(connection);
  // Of version 4 there are databases that lack it.
  connection.exec(FACTS_SCHEMA);
  connection.exec(`PRAGMA user_version = ${VERSION}`);
  return true;
}

function addCounts(connection: Library.Database): void {
  const countOf = (table: string): string => `(SELECT count(*) FROM ${table} WHERE ${table}.id = durable.id)`;
  connection.exec(`
    ALTER TABLE durable ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE durable ADD COLUMN outcomes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE durable ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    UPDATE durable SET base = version - ${countOf("durable_deltas")}, outcomes = ${countOf("durable_outcomes")};
  `);
  type OfRow = Omit<DurableRow, "id"> & { id: ArrayBuffer };
  const numbers = ["owner", "version", "busy", "base", "outcomes"].map((name) => number(name));
  update<OfRow>(connection, "durable", [bytes("id"), ...numbers], ({ id, ...row }) =>
    checksumOfRow({ id: textOf(id), ...row }),
  );
  update<{ id: ArrayBuffer; version: number; checksum: number }>(
    connection,
    "durable_deltas",
    [bytes("id"), number("version"), number("checksum")],
    ({ id, version, checksum }) => withKeys(checksum, textOf(id), version),
  );
  update<{ id: ArrayBuffer; requestId: ArrayBuffer; checksum: number }>(
    connection,
    "durable_outcomes",
    [bytes("id"), bytes("request_id", "requestId"), number("checksum")],
    ({ id, requestId, checksum }) => withKeys(checksum, textOf(id), textOf(requestId)),
  );
}

/** Gives each row of a table its new checksum. One whose keys are no texts any more keeps the old one, which is wrong now. */
function update<Row extends object>(
  connection: Library.Database,
  table: string,
  columns: readonly string[],
  checksumOf: (row: Row) => number,
): void {
  const select = connection.prepare(
    `SELECT rowid AS at, ${columns} FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS_AT_ONCE}`,
  );
  const change = connection.prepare(`UPDATE ${table} SET checksum = ? WHERE rowid = ?`);
  for (let after = 0; ; ) {
    const rows = select.all(after) as (Row & { at: number })[];
    for (const row of rows) {
      const isText = Object.values<unknown>(row).every((value) => !(value instanceof ArrayBuffer) || isUtf8(value));
      if (isText) change.run(checksumOf(row), row.at);
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.at;
  }
}
