// Runs async programs in Node itself, one after the other. Reads a JSON array of `[bound, text]`, writes one of what each logged.
import { AsyncLocalStorage } from "node:async_hooks";
import { text } from "node:stream/consumers";
import { runInThisContext } from "node:vm";

const storage = new AsyncLocalStorage();
let lines = [];
let timers = 0;

function startTimer(run) {
  timers++;
  setTimeout(() => {
    timers--;
    run();
  }, 1);
}

Object.assign(globalThis, {
  read: () => storage.getStore() ?? "-",
  log: (what) => lines.push(`${what}:${read()}`),
  order: (what) => lines.push(`${what}`),
  bind: (value, run) => storage.run(value, run),
  later: (run) => startTimer(run),
  sleep: () => new Promise(startTimer),
});
// What nobody handles is no matter here.
process.on("unhandledRejection", () => undefined);
process.on("uncaughtException", () => undefined);

const answers = [];
for (const [bound, program] of JSON.parse(await text(process.stdin))) {
  lines = [];
  const main = runInThisContext(`(${program})`);
  await storage.run(bound, main).catch((error) => lines.push(`threw ${error}`));
  answers.push(lines);
  // What it left behind must not be taken for the next one's.
  while (timers > 0) await new Promise((resolve) => setTimeout(resolve, 1));
}
process.stdout.write(JSON.stringify(answers));
