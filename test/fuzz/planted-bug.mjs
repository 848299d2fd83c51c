/**
 * Preloaded into a server process: a bug that a guest could find, for the test of the oracle. The query of this file's URL says which
 * one, and by what a program finds it: `?bug=exit&word=Proxy`.
 */
import { Worker } from "node:worker_threads";

const parameters = new URL(import.meta.url).searchParams;
const word = parameters.get("word");
const { postMessage } = Worker.prototype;

let isMistaken = false;

const BUGS = {
  /** The process ends. */
  exit: () => process.exit(7),
  /** The main thread is stuck for a while. */
  stall: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500),
  /** A worker thread meets what it does not know. */
  worker: (worker) => postMessage.call(worker, null),
  /** A prototype of the host's is changed. */
  pollute: () => Object.defineProperty(Object.prototype, "polluted", { value: 1, configurable: true }),
  /** What is run next is not what was sent. */
  mistake: () => {
    isMistaken = true;
  },
};

const bug = BUGS[parameters.get("bug")];

Worker.prototype.postMessage = function postAndMeetTheBug(message, ...rest) {
  const turns = message?.groups?.flatMap((group) => group.turns) ?? [];
  for (const turn of turns) {
    if (!isMistaken || !turn.sources.some(({ code }) => code === "40 + 2")) continue;
    isMistaken = false;
    turn.sources = turn.sources.map((source) => ({ ...source, code: "40 + 3" }));
  }
  postMessage.call(this, message, ...rest);
  if (turns.some((turn) => JSON.stringify(turn).includes(word))) bug(this);
};
