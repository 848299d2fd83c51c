/**
 * Writes into the data directory of the first argument until it is killed, or until a write fails. Each acknowledged write is a
 * line on standard output: `ID NUMBER`. Of session `same` there is one, written over and over; the others are new ones. An image
 * is as many bytes as the second argument says, all of them the number's lowest.
 */
import { writeSync } from "node:fs";
import { SqliteStore } from "../../server/dist/store/sqlite.js";

const AT_ONCE = 8;
const [, , directory, bytes] = process.argv;
const store = new SqliteStore(directory);
let number = 0;

async function write(id, mine) {
  const image = new Uint8Array(Number(bytes)).fill(mine);
  const labels = new Map([["n", String(mine)]]);
  await store.putSession(
    { sessionId: id, createdAt: mine, expiresAt: undefined, labels, record: String(mine), sizeBytes: image.length },
    image,
  );
  writeSync(1, `${id} ${mine}\n`);
}

async function writeOn() {
  for (;;) {
    const mine = ++number;
    await write(`s${mine}`, mine);
    const again = ++number;
    await write("same", again);
  }
}

try {
  await Promise.all(Array.from({ length: AT_ONCE }, writeOn));
} catch (error) {
  writeSync(1, `failed ${error.kind}\n`);
  await store.close();
}
