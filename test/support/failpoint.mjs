/**
 * Ends the server's process at a moment between two of its steps: a test has it loaded before the server, and says in TEST_FAILPOINT
 * which, as JSON: `{"at": "before-commit", "count": 3}`. It sees what the main thread says to the others and hears from them.
 *
 * run: turns of a session go to a worker. commit, rebase: the store is asked for it. kept, rebased: its answer has come, and nobody
 * has heard of it. lost: as commit, but the process goes on for some time, and the store never hears of it. late: as commit, but the
 * store is asked when some time is over, and whoever waits is told at once that it failed.
 */
import { Worker } from "node:worker_threads";

const { at, count } = JSON.parse(process.env.TEST_FAILPOINT ?? '{"at":"none"}');
const LATE = 1_500;
const LOST = 300;
const met = { run: 0, commit: 0, rebase: 0 };
let answer = Number.NaN;

function meet(name) {
  met[name]++;
  return met[name] === count;
}

function end() {
  process.kill(process.pid, "SIGKILL");
}

const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, transfer) {
  // A batch; as text where its numbers stand in the mailbox of the worker.
  const isBatch = typeof message === "string" || message?.groups !== undefined;
  if (isBatch && meet("run") && at === "run") end();
  const name = message?.call?.name;
  if ((name === "commit" || name === "rebase") && meet(name)) {
    if (at === name) end();
    if (at === "lost" && name === "commit") {
      setTimeout(end, LOST);
      return;
    }
    if ((at === "kept" && name === "commit") || (at === "rebased" && name === "rebase")) answer = message.number;
    if (at === "late" && name === "commit") {
      setTimeout(() => post.call(this, message, transfer), LATE);
      const failed = { failed: "broken", message: "it is not known what became of it" };
      setImmediate(() => emit.call(this, "message", { type: "answer", number: message.number, answer: failed }));
      return;
    }
  }
  post.call(this, message, transfer);
};

const emit = Worker.prototype.emit;
Worker.prototype.emit = function (event, message, ...rest) {
  if (event === "message" && message?.type === "answer" && message.number === answer) end();
  return emit.call(this, event, message, ...rest);
};
