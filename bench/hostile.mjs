/**
 * What hostile guest code costs others, in three figures; writes `bench/results-hostile.md`.
 *
 *     npm run build && node bench/hostile.mjs [--quick]
 *
 * - The share of the checkpoint in the CPU of a Call: two servers, of which one is a copy of the built server whose checkpoints copy
 *   nothing. That copy is made here and thrown away; the server itself has no such switch.
 * - From the end of a thread to the next answer of the same session.
 * - Resident memory after many sessions that left garbage.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Livescope } from "@livescope/sdk";
import { interleave, median } from "./measure.mjs";
import { startSpinners } from "./processes.mjs";

const isQuick = process.argv.includes("--quick");
const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
const BUILT = folder("../server/dist");
const WITHOUT = folder("../server/dist-without-copies");
const RESULTS = folder("results-hostile.md");
const PROMISED = { checkpoint: 1.1, afterKill: 300, resident: 64 };

/** How many milliseconds past its time a turn that polls for nothing is left alone: see engine/watchdog.ts. */
const GRACE = 100;

class ServerProcess {
  constructor(child, address) {
    this.child = child;
    this.pid = child.pid;
    this.address = address;
  }

  static async start(built) {
    const args = [`${built}/main.js`, "--address", "127.0.0.1:0", "--workers", "2", "--log-level", "silent"];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(child.stdout, "data");
    return new ServerProcess(child, /on (\S+)/.exec(String(line))[1]);
  }

  /** Resident memory, in bytes. */
  resident() {
    const [kibibytes] = /(?<=VmRSS:\s+)\d+/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    return Number(kibibytes) * 1024;
  }

  async stop() {
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }
}

/** A copy of the built server whose checkpoints take note of how much there is, and copy none of it. */
function buildWithoutCopies() {
  cpSync(BUILT, WITHOUT, { recursive: true });
  // What threads run is the bundle, and not the file that it was made of.
  edit("engine/worker/bundle.js", /^ +copy\.set\(source.*\n/gm, 2, "");
  edit("engine/worker-thread.js", /dist\/engine/g, 1, "dist-without-copies/engine");
}

function edit(file, pattern, times, replacement) {
  const path = `${WITHOUT}/${file}`;
  const text = readFileSync(path, "utf8");
  if (text.match(pattern)?.length !== times) throw new Error(`${file} is not as this benchmark expects it`);
  writeFileSync(path, text.replace(pattern, replacement));
}

async function measureCheckpoint() {
  buildWithoutCopies();
  const servers = [
    await ServerProcess.start(BUILT),
    await ServerProcess.start(WITHOUT),
    await ServerProcess.start(BUILT),
  ];
  const targets = [];
  for (const [i, name] of ["with", "without", "with again"].entries()) {
    const client = await Livescope.connect(servers[i].address);
    const session = await client.createSession({ setup: "let total = 0; function inc(n) { return total += n }" });
    const inc = await session.handle("inc");
    targets.push({ name, pid: servers[i].pid, run: () => inc.call([1]) });
  }
  const rounds = isQuick ? 6 : 40;
  const one = await interleave(targets, { inFlight: 1, rounds, milliseconds: 150 });
  const many = await interleave(targets, { inFlight: 64, rounds, milliseconds: 150 });
  for (const server of servers) await server.stop();
  rmSync(WITHOUT, { recursive: true });
  return { one, many };
}

async function measureKills() {
  const servers = [await ServerProcess.start(BUILT), await ServerProcess.start(BUILT)];
  const timeout = 50;
  const sessions = [];
  for (const { address } of servers) {
    const client = await Livescope.connect(address);
    sessions.push(await client.createSession({ setup: "let n = 0" }));
  }
  const [session, unharmed] = sessions;
  const afterKill = [];
  const afterSleep = [];
  for (let i = 0; i < (isQuick ? 20 : 200); i++) {
    // The thread before is replaced by a spare, which takes a moment to be ready.
    await sleep(150);
    let began = performance.now();
    const hung = session.execute('new Array(1e9) + ""', { timeout }).catch(() => undefined);
    await Promise.all([hung, session.execute("++n")]);
    afterKill.push(performance.now() - began - timeout - GRACE);
    // What the machine makes of as much waiting and one call, where nothing is killed.
    began = performance.now();
    await sleep(timeout + GRACE);
    await unharmed.execute("++n");
    afterSleep.push(performance.now() - began - timeout - GRACE);
  }
  for (const server of servers) await server.stop();
  return [afterKill, afterSleep].map((waits) => waits.sort((a, b) => a - b));
}

async function measureResident() {
  const server = await ServerProcess.start(BUILT);
  const client = await Livescope.connect(server.address);
  const cycle = async () => {
    const session = await client.createSession();
    await session.execute(
      "const all = []; for (let i = 0; i < 160; i++) all.push(new Uint8Array(65536).fill(i)); all.length",
    );
    await session.delete();
  };
  await cycle();
  await sleep(2_000);
  const before = server.resident();
  let most = before;
  for (let i = 0; i < (isQuick ? 200 : 1_000); i++) {
    await cycle();
    most = Math.max(most, server.resident());
  }
  const atEnd = server.resident();
  await sleep(5_000);
  const after = server.resident();
  await server.stop();
  return { before, most, atEnd, after };
}

const stopSpinners = startSpinners();
const checkpoint = await measureCheckpoint();
const [afterKill, afterSleep] = await measureKills();
stopSpinners?.();
const resident = await measureResident();

const quantiles = (waits) => {
  const at = (share) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))];
  return [median(waits), at(0.9), at(0.99), at(1)].map((each) => `${each.toFixed(0)} ms`);
};
const ratio = (measured, reference) => {
  const { median: middle, lower, upper } = measured.ratio("with", reference, "cpu");
  return `${middle.toFixed(3)} (${lower.toFixed(3)}-${upper.toFixed(3)})`;
};
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const row = (...cells) => `| ${cells.join(" | ")} |`;
const text = `# What hostile guest code costs others

Written by \`node bench/hostile.mjs\`${isQuick ? ", a quick run" : ""}.

* ${new Date().toISOString().slice(0, 10)}; ${cpus()[0]?.model.trim()}, ${cpus().length} cores; Node ${process.versions.node}

## The checkpoint

CPU of the server per Call, of a session that holds a counter and a function. "Without" is a copy of the same build whose checkpoints
copy nothing (a server that could undo nothing). A/A is the ratio of two equal servers. Promised: at most ${PROMISED.checkpoint}.

${row("in flight", "with", "without", "ratio", "A/A")}
${row("---", "---", "---", "---", "---")}
${[
  ["1", checkpoint.one],
  ["64", checkpoint.many],
]
  .map(([name, each]) =>
    row(
      name,
      `${each.of("with").cpu.toFixed(1)} µs`,
      `${each.of("without").cpu.toFixed(1)} µs`,
      ratio(each, "without"),
      ratio(each, "with again"),
    ),
  )
  .join("\n")}

## A killed thread

From the moment a hung thread is due to be ended (its turn's time and the grace of ${GRACE} ms are over) to the next answer of the same
session, ${afterKill.length} times. Promised: at most ${PROMISED.afterKill} ms at p99. The second row is a call after as long a sleep, of a server in which
nothing is killed, in turn with the first: what stands there is the machine's.

${row("", "p50", "p90", "p99", "most")}
${row("---", "---", "---", "---", "---")}
${row("after a kill", ...quantiles(afterKill))}
${row("after a sleep", ...quantiles(afterSleep))}

## Garbage

${isQuick ? 200 : "1,000"} sessions one after the other, each of which fills 10 MiB and is deleted. Promised: resident memory within ${PROMISED.resident} MiB of the
start afterwards.

${row("at the start", "most", "when the last was deleted", "5 s later", "difference")}
${row("---", "---", "---", "---", "---")}
${row(mebibytes(resident.before), mebibytes(resident.most), mebibytes(resident.atEnd), mebibytes(resident.after), mebibytes(resident.after - resident.before))}
`;
writeFileSync(RESULTS, text);
process.stdout.write(text);
process.exit(0);
