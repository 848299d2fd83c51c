/** The entry of a worker thread: loads or takes over the engine, then runs one turn per message. */
import { parentPort, workerData } from "node:worker_threads";
import { loadEngine } from "./built-engine.js";
import { collectGarbage } from "./collect-garbage.js";
import { Control } from "./control.js";
import { HeapSum } from "./heap-sum.js";
import { Mailbox } from "./mailbox.js";
import type { SharedEngine, TurnReply, WorkerMessage, WorkerRequest, WorkerSetup } from "./messages.js";
import { TurnRunner } from "./turn.js";

const port = parentPort;
if (port === null) throw new Error("engine: this file is the entry of a worker thread");

const setup = workerData as WorkerSetup;
const control = new Control(setup.control);
const mailbox = new Mailbox(setup.mailbox);

// Not awaited at the top of the module: V8 (11.3) has ended the process once, in ExecuteAsyncModule, when threads were ended as they started.
if (setup.engine === undefined) void loadFirstEngine();
else begin(setup.engine);

/** What it throws ends the thread, and is told by that. */
async function loadFirstEngine(): Promise<void> {
  const engine = await loadEngine();
  post({ type: "engine", engine });
  // What was built on the way here, memories among it, would stay until much else has come and gone: some 100 MiB.
  collectGarbage();
  begin(engine);
}

function begin(engine: SharedEngine): void {
  const { checkpoint, trackAbove } = setup;
  const heaps = { sum: new HeapSum(setup.heaps.sum), slot: setup.heaps.slot };
  const runner = new TurnRunner(
    engine,
    { control, checkpoint, heaps, trackAbove },
    {
      console: (turn, entry) => post({ type: "console", turn, entry }),
      restarted: (turn) => post({ type: "restarted", turn }),
      left: (turn) => post({ type: "left", turn }),
    },
  );
  port?.on("message", (request: WorkerRequest) => {
    if (typeof request === "string" || "groups" in request) {
      mailbox.beginBatch();
      const batch = typeof request === "string" ? mailbox.readRequest(request) : request;
      if (!runner.runBatch(batch, say)) control.park();
    } else {
      runner.drop(request.drop);
      collectGarbage();
    }
  });
  post({ type: "ready" });
}

function say(replies: TurnReply[]): void {
  post(mailbox.writeReplies(replies) ?? { type: "replies", replies });
}

function post(message: WorkerMessage): void {
  port?.postMessage(message);
}
