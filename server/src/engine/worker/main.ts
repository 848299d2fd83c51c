/** The entry of a worker thread: builds or takes over the engine, then runs one turn per message. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { buildBaseImage } from "./boot.js";
import { collectGarbage } from "./collect-garbage.js";
import { Control } from "./control.js";
import { compileGuest } from "./guest-bytecode.js";
import { HeapSum } from "./heap-sum.js";
import type { BaseImage } from "./layout.js";
import type { SharedEngine, WorkerMessage, WorkerRequest, WorkerSetup } from "./messages.js";
import { TurnRunner } from "./turn.js";
import { type EngineModules, loadEngineModules } from "./wasm-module.js";

/** The name of the kernel among the sources of the guest. */
const KERNEL = "kernel";

const port = parentPort;
if (port === null) throw new Error("engine: this file is the entry of a worker thread");

const setup = workerData as WorkerSetup;
const control = new Control(setup.control);
const { checkpoint } = setup;
const heaps = { sum: new HeapSum(setup.heaps.sum), slot: setup.heaps.slot };
const runner = new TurnRunner(
  setup.engine ?? buildEngine(),
  { control, checkpoint, heaps },
  {
    console: (turn, entry) => post({ type: "console", turn, entry }),
    restarted: (turn) => post({ type: "restarted", turn }),
  },
);

port.on("message", (request: WorkerRequest) => {
  if (!("groups" in request)) {
    runner.drop(request.drop);
    collectGarbage();
    return;
  }
  const isAlive = runner.runBatch(request, (replies) => post({ type: "replies", replies }));
  if (!isAlive) control.park();
});
// What was built on the way here, memories among it, would stay until much else has come and gone: some 100 MiB.
collectGarbage();
post({ type: "ready" });

function buildEngine(): SharedEngine {
  const modules = loadEngineModules();
  const sources = guestSources();
  const libraries = compileGuest(modules, sources);
  const kernel = libraries.get(KERNEL);
  if (kernel === undefined) throw new Error("engine: the kernel is not built");
  libraries.delete(KERNEL);
  const baseImage = buildBaseImage(modules, kernel);
  const engine = {
    resume: modules.resume,
    exportNames: modules.exportNames,
    baseImage,
    digest: digestOf(modules, baseImage, libraries),
    libraries,
  };
  post({ type: "engine", engine });
  return engine;
}

/**
 * What the pages of a session mean depends on the engine's code, on the pages they differ from and where things lie in them, and on
 * the libraries, whose bytecode a session takes when it needs it.
 */
function digestOf(
  { resumeDigest }: EngineModules,
  { layout, runs }: BaseImage,
  libraries: ReadonlyMap<string, Uint8Array>,
): string {
  const digest = createHash("sha256").update(`${resumeDigest}\n${JSON.stringify(layout)}\n`);
  for (const [address, bytes] of runs) digest.update(`page ${address} ${bytes.length}\n`).update(bytes);
  for (const [name, code] of libraries) digest.update(`library ${name} ${code.length}\n`).update(code);
  return digest.digest("hex");
}

/** The kernel and its libraries, by name, in an order that is always the same. */
function guestSources(): Map<string, string> {
  const folder = new URL("../../guest/", import.meta.url);
  const sources = new Map([[KERNEL, readFileSync(new URL("kernel.js", folder), "utf8")]]);
  const libraries = new URL("library/", folder);
  for (const file of readdirSync(libraries).sort()) {
    sources.set(basename(file, ".js"), readFileSync(new URL(file, libraries), "utf8"));
  }
  return sources;
}

function post(message: WorkerMessage): void {
  port?.postMessage(message);
}
