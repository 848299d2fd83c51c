/**
 * What the store costs with many sessions in it: `node bench/store.mjs [sessions]` after a build. Prints a table; writes only into
 * a directory of its own under the system's temporary one, which it removes.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteStore } from "../server/dist/store/sqlite.js";

const COUNT = Number(process.argv[2] ?? 100_000);
const IMAGE_BYTES = 8_192;
const AT_ONCE = 64;
const NOW = Date.now();
const NONE = new Map();
const RECORD = JSON.stringify({ limits: "x".repeat(300), usage: "y".repeat(100) });

const root = mkdtempSync(join(tmpdir(), "livescope-bench-store-"));
const directory = join(root, "data");
const image = randomBytes(IMAGE_BYTES);
const ids = Array.from({ length: COUNT }, () => randomBytes(16).toString("hex"));
let store = new SqliteStore(directory);

function sessionAt(index) {
  const labels = new Map([
    ["tenant", `t${index % 100}`],
    ["env", index % 2 === 0 ? "prod" : "dev"],
    ["user", `u${index}`],
  ]);
  const expiresAt = NOW + 1_000_000 + (index % 1_000);
  return { sessionId: ids[index], createdAt: NOW + index, expiresAt, labels, record: RECORD, sizeBytes: IMAGE_BYTES };
}

const put = (index) => store.putSession(sessionAt(index), Uint8Array.from(image));
const any = () => Math.floor(Math.random() * COUNT);
const page = (size, labels, from = any()) =>
  store.sessions({ size, after: `${NOW + from}:!`, labels: new Map(labels), now: NOW });

function row(name, times) {
  times.sort((one, other) => one - other);
  const at = (share) => times[Math.floor(times.length * share)].toFixed(3);
  console.log(`| ${name} | ${at(0.5)} | ${at(0.99)} |`);
}

async function time(name, count, work) {
  const times = [];
  for (let index = 0; index < count; index++) {
    const begin = performance.now();
    await work(index);
    times.push(performance.now() - begin);
  }
  row(name, times);
}

const mebibytes = (bytes) => `${Math.round(bytes / (1 << 20))} MiB`;

try {
  await store.open();
  const before = process.memoryUsage.rss();
  const begin = performance.now();
  let next = 0;
  const putOn = async () => {
    while (next < COUNT) await put(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, putOn));
  const seconds = (performance.now() - begin) / 1_000;
  console.log(`${COUNT} sessions with 3 labels and an image of ${IMAGE_BYTES} bytes, ${AT_ONCE} puts at once:`);
  console.log(
    `${Math.round(COUNT / seconds)} a second; ${mebibytes(statSync(join(directory, "store.db")).size)} on disk;`,
  );
  console.log(`resident ${mebibytes(before)} before, ${mebibytes(process.memoryUsage.rss())} after\n`);
  console.log("| one at a time, ms | p50 | p99 |\n|---|---|---|");
  await time("put, replacing", 200, () => put(any()));
  await time("session", 2_000, () => store.session(ids[any()]));
  await time("image", 2_000, () => store.sessionImage(ids[any()]));
  await time("page of 50", 500, () => page(50, NONE));
  await time("page of 1,000", 50, () => page(1_000, NONE));
  await time("page of 50, a label of every second", 200, () => page(50, [["env", "prod"]]));
  await time("page of 50, a label of every hundredth", 200, () => page(50, [["tenant", "t7"]], Math.floor(any() / 2)));
  await time("page of a label that one has", 200, (index) => page(50, [["user", `u${COUNT - 1 - index}`]], 0));
  const odd = [
    ["env", "prod"],
    ["tenant", "t1"],
  ];
  await time("page of two labels that half and a hundredth have, and none both", 20, () => page(50, odd, 0));
  await time("expire, nothing to do", 500, () => store.expire(NOW));
  await time("delete", 200, (index) => store.deleteSession(ids[index]));
  await time("close, open", 5, async () => {
    await store.close();
    store = new SqliteStore(directory);
    await store.open();
  });
} finally {
  await store.close();
  rmSync(root, { recursive: true });
}
