/** Brings databases of earlier versions to the form of this one. Nothing is lost, and what was damaged is so afterwards. */
import type Library from "libsql";
import { withKeys } from "./checksums.js";
import { checksumOfRow, DURABLE_SCHEMA, type DurableRow } from "./durable-tables.js";

export const VERSION = 3;
/** Before durable sessions. */
const WITHOUT_DURABLE = 1;
/** Before durable sessions told the version of their image and the number of their outcomes, and checksums covered keys. */
const WITHOUT_COUNTS = 2;

/** Rows in memory at once, without what they hold. */
const ROWS_AT_ONCE = 1_000;

/** To be called in a transaction. @returns false where the version is not one that is known */
export function migrate(connection: Library.Database, version: number): boolean {
  if (version === WITHOUT_DURABLE) connection.exec(DURABLE_SCHEMA);
  else if (version === WITHOUT_COUNTS) addCounts(connection);
  else return false;
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
  update<DurableRow>(connection, "durable", "id, owner, version, busy, base, outcomes", checksumOfRow);
  update<{ id: string; version: number; checksum: number }>(
    connection,
    "durable_deltas",
    "id, version, checksum",
    ({ id, version, checksum }) => withKeys(checksum, id, version),
  );
  update<{ id: string; requestId: string; checksum: number }>(
    connection,
    "durable_outcomes",
    "id, request_id AS requestId, checksum",
    ({ id, requestId, checksum }) => withKeys(checksum, id, requestId),
  );
}

/** Gives each row of a table its new checksum. */
function update<Row>(
  connection: Library.Database,
  table: string,
  columns: string,
  checksumOf: (row: Row) => number,
): void {
  const select = connection.prepare(
    `SELECT rowid AS at, ${columns} FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS_AT_ONCE}`,
  );
  const change = connection.prepare(`UPDATE ${table} SET checksum = ? WHERE rowid = ?`);
  for (let after = 0; ; ) {
    const rows = select.all(after) as (Row & { at: number })[];
    for (const row of rows) change.run(checksumOf(row), row.at);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.at;
  }
}
