/** Runs code that the server of deno-server.mjs was sent, and calls the function that was defined. */
// biome-ignore lint/security/noGlobalEval: it is what is measured
const run = eval;
let live;
const methods = {
  define: (code) => {
    live = run(code);
    return null;
  },
  call: (argument) => live(argument),
  execute: run,
};
globalThis.onmessage = ({ data: { id, method, argument } }) =>
  globalThis.postMessage({ id, result: methods[method](argument) });
