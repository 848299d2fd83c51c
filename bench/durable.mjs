/**
 * `node bench/durable.mjs [sessions]`: what it costs that a session survives. A durable Call against an ephemeral one and a plain
 * fdatasync of 4 KiB, 64 at once and how many share an fsync, and a server that starts with many durable sessions (10,000 unless said
 * otherwise). Writes bench/durable.md.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LivescopeClient } from "./client.mjs";
import { interleave, runAll } from "./measure.mjs";
import { ServerProcess, startSpinners } from "./processes.mjs";
import { count, cpu, kibibytes, microseconds, Report, spread } from "./report.mjs";

const COUNT = Number(process.argv[2] ?? 10_000);
const SOURCE = "var count = 0; function inc(by) { count += by; return count; }; inc";
const AT_ONCE = 64;
const SYNC_BYTES = 4096;

const root = mkdtempSync(join(tmpdir(), "livescope-bench-"));
const stopSpinners = startSpinners();
try {
  await main();
} finally {
  stopSpinners?.();
  rmSync(root, { recursive: true });
}

async function made(client, sdk, durability) {
  const { id: sessionId } = await sdk.createSession({ durability });
  return { sessionId, handleId: await client.handle(sessionId, SOURCE) };
}

async function main() {
  const data = join(root, "data");
  const server = await ServerProcess.start("durable", [], [data]);
  const client = new LivescopeClient(server.addresses);
  const sdk = await client.sdk();
  const { pid } = server;
  const file = openSync(join(root, "synced"), "w");
  const block = Buffer.alloc(SYNC_BYTES, 7);
  const sync = async () => {
    // Always at the same place: as much as can be said for a plain fdatasync.
    writeSync(file, block, 0, SYNC_BYTES, 0);
    fdatasyncSync(file);
  };
  const calls = (sessions) => (i) => {
    const { sessionId, handleId } = sessions[i % sessions.length];
    return client.call(sessionId, handleId, 1);
  };
  const ephemeral = await Promise.all(Array.from({ length: AT_ONCE }, () => made(client, sdk, "ephemeral")));
  const durable = await Promise.all(Array.from({ length: AT_ONCE }, () => made(client, sdk, "durable")));

  const targets = [
    ...["echoA", "echoB"].map((name) => ({ name, pid, run: () => client.echo(name) })),
    { name: "sync", run: sync },
    { name: "ephemeral", pid, run: calls(ephemeral.slice(0, 1)) },
    { name: "durable", pid, run: calls(durable.slice(0, 1)) },
  ];
  const one = await interleave(targets, { inFlight: 1, rounds: 40, milliseconds: 150 });
  const many = await interleave(
    [
      { name: "echoA", pid, run: () => client.echo("echoA") },
      { name: "echoB", pid, run: () => client.echo("echoB") },
      { name: "ephemeral", pid, run: calls(ephemeral) },
      { name: "durable", pid, run: calls(durable) },
    ],
    { inFlight: AT_ONCE, rounds: 20, milliseconds: 300 },
  );
  closeSync(file);
  const perSync = await callsPerSync(pid, calls(durable));

  await runAll(COUNT - AT_ONCE, 16, () => made(client, sdk, "durable"));
  const stored = readdirSync(data).reduce((sum, name) => sum + statSync(join(data, name)).size, 0);
  await client.close();
  await server.stop();
  const first = await firstAnswer(data, durable[0]);

  const report = new Report();
  const noise = spread(one.ratio("echoB", "echoA"));
  report.section(
    "One in flight",
    "Call: by handle, by unary RPC, one number. fdatasync: 4 KiB are written to the same place of a file beside the store, and",
    "synced, in the client's process. Ratios are of rounds.",
  );
  const row = (measured, name, label, aa) => [
    label,
    microseconds(measured.of(name).p50),
    count(measured.of(name).perSecond),
    spread(measured.ratio(name, "echoA")),
    aa,
    cpu(measured.of(name)),
  ];
  const head = ["what", "p50", "per second", "p50 to the echo", "A/A", "server CPU each"];
  report.table([
    head,
    row(one, "echoA", "empty echo", noise),
    row(one, "sync", "fdatasync", noise),
    row(one, "ephemeral", "Call, ephemeral", noise),
    row(one, "durable", "Call, durable", noise),
  ]);
  const together = one.of("sync").p50 + one.of("ephemeral").p50;
  report.goal("durable Call p50 to fdatasync + ephemeral Call", one.of("durable").p50 / together, "at most", 2.5, {
    noise,
  });
  report.section(`${AT_ONCE} in flight`, `Each on a session of its own.`);
  const noiseOfMany = spread(many.ratio("echoB", "echoA"));
  report.table([
    head,
    row(many, "echoA", "empty echo", noiseOfMany),
    row(many, "ephemeral", "Call, ephemeral", noiseOfMany),
    row(many, "durable", "Call, durable", noiseOfMany),
  ]);
  report.section("The store", "fsyncs of the server, counted by strace while Calls went on, which makes both slower.");
  report.table([
    ["what", "figure"],
    [
      "durable Calls for each fsync or fdatasync, 64 in flight",
      perSync === undefined ? "no strace" : perSync.toFixed(1),
    ],
    ["durable sessions", count(COUNT)],
    ["of the store on disk, each", kibibytes(stored / COUNT)],
    ["start of the server's process until its first Call was answered", `${Math.round(first.all)} ms`],
    ["of that, until it listened", `${Math.round(first.listening)} ms`],
  ]);
  if (perSync !== undefined)
    report.goal("durable Calls per fsync, 64 in flight on 64 sessions", perSync, "at least", 8);
  if (COUNT >= 10_000) {
    report.goal("s until the first Call, with 10,000 durable sessions", first.all / 1000, "at most", 1);
  }
  report.goals();
  const spinners = stopSpinners !== undefined;
  report.write({ plan: `${count(COUNT)} durable sessions`, spinners }, "durable.md", "node bench/durable.mjs");
}

/** Counts for some seconds. Undefined where there is no strace. */
async function callsPerSync(pid, run) {
  if (spawnSync("strace", ["-V"]).status !== 0) return undefined;
  const strace = spawn("strace", ["-f", "-q", "-e", "trace=fsync,fdatasync", "-p", String(pid)]);
  let syncs = 0;
  strace.stderr.on("data", (text) => {
    syncs += String(text).match(/f(data)?sync\(/g)?.length ?? 0;
  });
  await sleep(500);
  const until = performance.now() + 4_000;
  let done = 0;
  const before = syncs;
  const lane = async (first) => {
    for (let i = first; performance.now() < until; i += AT_ONCE) {
      await run(i);
      done++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => lane(i)));
  const perSync = done / (syncs - before);
  strace.kill();
  await once(strace, "exit");
  return perSync;
}

/** Milliseconds from the start of the process, as a user starts it. */
async function firstAnswer(data, { sessionId, handleId }) {
  const main = new URL("../server/dist/command/main.js", import.meta.url).pathname;
  const start = performance.now();
  const child = spawn(process.execPath, [main, "--address", "127.0.0.1:0", "--data", data, "--log-level", "error"]);
  const [line] = await once(child.stdout, "data");
  const listening = performance.now() - start;
  const address = /listening on (\S+)/.exec(String(line))[1];
  const client = new LivescopeClient({ livescope: address, echo: address });
  await client.call(sessionId, handleId, 1);
  const all = performance.now() - start;
  await client.close();
  child.kill("SIGKILL");
  await once(child, "exit");
  return { all, listening };
}
