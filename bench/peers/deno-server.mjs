/**
 * Run by Deno: passes what comes by a WebSocket on to a worker that may do nothing (deno-worker.mjs), where code runs in one realm for all, without
 * limits. Prints its address and its process id.
 */
/* global Deno */
const worker = new Worker(new URL("deno-worker.mjs", import.meta.url), {
  type: "module",
  deno: { permissions: "none" },
});

Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(`ws://127.0.0.1:${port} ${Deno.pid}`) },
  (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => worker.postMessage(JSON.parse(data));
    worker.onmessage = ({ data }) => socket.send(JSON.stringify(data));
    return response;
  },
);
