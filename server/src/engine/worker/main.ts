/** The entry of a worker thread: builds or takes over the engine, then runs one turn per message. */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { buildBaseImage } from "./boot.js";
import { collectGarbage } from "./collect-garbage.js";
import { Control } from "./control.js";
import type { BatchRequest, CollectRequest, SharedEngine, WorkerMessage, WorkerSetup } from "./messages.js";
import { TurnRunner } from "./turn.js";
import { loadEngineModules } from "./wasm-module.js";

const port = parentPort;
if (port === null) throw new Error("engine: this file is the entry of a worker thread");

const setup = workerData as WorkerSetup;
const control = new Control(setup.control);
const runner = new TurnRunner(setup.engine ?? buildEngine(), control, setup.checkpoint, {
  console: (turn, entry) => post({ type: "console", turn, entry }),
  restarted: (turn) => post({ type: "restarted", turn }),
});

port.on("message", (request: BatchRequest | CollectRequest) => {
  if (!("groups" in request)) {
    runner.drop(request.drop);
    collectGarbage();
  } else if (!runner.runBatch(request, (replies) => post({ type: "replies", replies }))) control.park();
});
post({ type: "ready" });

function buildEngine(): SharedEngine {
  const modules = loadEngineModules();
  const guest = new URL("../../guest/", import.meta.url);
  const kernel = readFileSync(new URL("kernel.js", guest), "utf8");
  const folder = new URL("library/", guest);
  const libraries = new Map(
    readdirSync(folder)
      .sort()
      .map((file) => [basename(file, ".js"), readFileSync(new URL(file, folder), "utf8")]),
  );
  const engine = {
    resume: modules.resume,
    exportNames: modules.exportNames,
    baseImage: buildBaseImage(modules, kernel, libraries),
    libraries,
  };
  post({ type: "engine", engine });
  return engine;
}

function post(message: WorkerMessage): void {
  port?.postMessage(message);
}
