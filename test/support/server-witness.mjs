/**
 * Preloaded into a server process: tells its parent, when asked, what became of its worker threads and of the prototypes that
 * its own code builds on.
 */
import { Worker } from "node:worker_threads";

const PROTOTYPES = { Object, Array, Function, String, Number, Promise, Map, Error, RegExp, Uint8Array };
const SHAPES = new Map(Object.entries(PROTOTYPES).map(([name, { prototype }]) => [name, shapeOf(prototype)]));

let ended = 0;
let died = 0;
const terminated = new WeakSet();
const { terminate } = Worker.prototype;

Worker.prototype.terminate = function terminateAndTell() {
  terminated.add(this);
  ended++;
  return terminate.call(this);
};

process.on("worker", (worker) => {
  worker.on("exit", () => {
    if (!terminated.has(worker)) died++;
  });
});

process.on("message", () => {
  const changed = Object.entries(PROTOTYPES)
    .filter(([name, { prototype }]) => shapeOf(prototype) !== SHAPES.get(name))
    .map(([name]) => name);
  process.send({ ended, died, changed, residentBytes: process.memoryUsage.rss() });
});
// The parent may ask as long as the server lives, and keeps it alive by nothing.
process.channel.unref();

function shapeOf(prototype) {
  return Reflect.ownKeys(prototype).map(String).join();
}
