/** What is measured: one function per group. Every group holds the two echoes, so each has its own noise beside it. */
import { setTimeout as sleep } from "node:timers/promises";
import { Encoding } from "@livescope/proto";
import { LivescopeClient, ShipClient } from "./client.mjs";
import { interleave, runAll } from "./measure.mjs";
import { ServerProcess } from "./processes.mjs";
import { buildSource, SHIPPED_INDEX, scopeText, TOUCH_SOURCE } from "./scope.mjs";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

/** Sizes of a scope, as JSON text. */
export const SCOPES = [
  { label: "0", bytes: 0 },
  { label: "100 KiB", bytes: 100 * KIBIBYTE },
  { label: "1 MiB", bytes: MEBIBYTE },
  { label: "10 MiB", bytes: 10 * MEBIBYTE },
];

/** Room for 10 MiB of JSON as text, as objects, and as text again. */
export const SCOPE_MEMORY = 256;
/** One message carries less than 4 MiB, and as a JSON string the quotes of a scope take two bytes. */
const PART_BYTES = 2 * MEBIBYTE;

export const INCREMENT = "var count = 0; function inc(by) { count += by; return count; }; inc";

/**
 * @typedef {object} Plan
 * @property {number} rounds
 * @property {number} milliseconds of one block
 * @property {number} warmUpCalls before anything is measured
 * @property {number} liveSessions of the last memory arm; 0 leaves it out
 * @property {number} idleSeconds for which sessions are not used before their memory is taken again; 0 leaves it out
 */

/** The two echoes, of nothing, or of the bytes they are given. */
export const echoes = (client, pid, payload) =>
  ["echoA", "echoB"].map((name) => ({ name, pid, run: () => client.echo(name, payload) }));

/** An empty message on a stream and back, and the same by way of a thread of the server's. */
const streamEchoes = (client, pid) =>
  ["stream", "thread"].map((name) => ({ name, pid, run: () => client.echoOnStream(name) }));

/** Calls of one function of `sessions`, one after the other. */
const calls = (name, client, pid, sessions) => ({
  name,
  pid,
  run: async (i) => {
    const { sessionId, handleId } = sessions[i % sessions.length];
    await client.call(sessionId, handleId, 1);
  },
});

/** The same over one Connect stream. */
const callsOverConnect = (name, client, pid, sessions) => ({
  name,
  pid,
  run: async (i) => {
    const { sessionId, handleId } = sessions[i % sessions.length];
    await client.callOverConnect(sessionId, handleId, 1);
  },
});

/** The same by the SDK, whose default is Connect; by path, as the handle is another session object's. */
async function callsOfSdk(name, client, pid, sessions) {
  const sdk = await client.sdk();
  const attached = sessions.map(({ sessionId }) => sdk.attach(sessionId));
  return { name, pid, run: (i) => attached[i % attached.length].call("inc", [1]) };
}

/** Host calls of one execution, one after the other. */
const HOST_CALLS = 20;

/** One round trip from the guest to a function of the client and back, by the SDK; the execution around them is shared by all. */
async function hostCalls(name, client, pid) {
  const session = await (await client.sdk()).createSession({
    setup: `async function callAll() { for (let i = 0; i < ${HOST_CALLS}; i++) await ping(i); }`,
  });
  await session.expose({ ping: (n) => n });
  const run = async () => {
    const start = performance.now();
    await session.call("callAll");
    return (performance.now() - start) / HOST_CALLS;
  };
  return { target: { name, pid, run, timesItself: true }, end: () => session.delete() };
}

/** A session in which `source` was executed, whose value is a function. */
export async function sessionWith(client, source) {
  const sessionId = await client.create();
  return { sessionId, handleId: await client.handle(sessionId, source) };
}

/** Sessions that were used once each. */
export async function sessionsWith(client, source, count) {
  const sessions = [];
  await runAll(count, 16, async (i) => {
    sessions[i] = await sessionWith(client, source);
  });
  return sessions;
}

export async function deleteAll(client, sessions) {
  await runAll(sessions.length, 16, (i) => client.delete(sessions[i].sessionId));
}

/** Lets both sides compile what they run often, as those of a server that has been up for some seconds. */
export async function warmUp(client, { warmUpCalls }) {
  const session = await sessionWith(client, INCREMENT);
  await runAll(warmUpCalls, 64, () => client.echo("echoA"));
  for (const { run } of streamEchoes(client, undefined)) await runAll(warmUpCalls, 64, run);
  await runAll(warmUpCalls, 64, () => client.call(session.sessionId, session.handleId, 1));
  await runAll(warmUpCalls, 64, () => client.callOverConnect(session.sessionId, session.handleId, 1));
  const { run } = await callsOfSdk("warm up", client, undefined, [session]);
  await runAll(warmUpCalls, 64, run);
  const host = await hostCalls("warm up", client, undefined);
  await runAll(warmUpCalls / HOST_CALLS, 1, host.target.run);
  await host.end();
  await runAll(warmUpCalls / 8, 16, async () => client.delete(await client.create()));
  await deleteAll(client, [session]);
}

/** One call at a time, and creating a session. */
export async function measureOne(client, pid, { rounds, milliseconds }) {
  const session = await sessionWith(client, INCREMENT);
  const create = async () => {
    const start = performance.now();
    const sessionId = await client.create();
    const took = performance.now() - start;
    await client.delete(sessionId);
    return took;
  };
  const host = await hostCalls("host call", client, pid);
  const targets = [
    ...echoes(client, pid),
    ...streamEchoes(client, pid),
    host.target,
    calls("call", client, pid, [session]),
    callsOverConnect("connect", client, pid, [session]),
    await callsOfSdk("sdk", client, pid, [session]),
    { name: "create", pid, run: create, timesItself: true },
  ];
  const measured = await interleave(targets, { inFlight: 1, rounds, milliseconds });
  await host.end();
  await deleteAll(client, [session]);
  return measured;
}

/** 64 at a time: in one session, where they wait for each other, and each in a session of its own. */
export async function measureMany(client, pid, { rounds, milliseconds }) {
  const sessions = await sessionsWith(client, INCREMENT, 64);
  const createAndDelete = async () => client.delete(await client.create());
  const targets = [
    ...echoes(client, pid),
    ...streamEchoes(client, pid),
    calls("call, one session", client, pid, sessions.slice(0, 1)),
    calls("call, 64 sessions", client, pid, sessions),
    callsOverConnect("connect, one session", client, pid, sessions.slice(0, 1)),
    callsOverConnect("connect, 64 sessions", client, pid, sessions),
    await callsOfSdk("sdk, one session", client, pid, sessions.slice(0, 1)),
    await callsOfSdk("sdk, 64 sessions", client, pid, sessions),
    { name: "create + delete", pid, run: createAndDelete },
  ];
  const measured = await interleave(targets, { inFlight: 64, rounds, milliseconds });
  await deleteAll(client, sessions);
  return measured;
}

/** One call at a time with 1,000 sessions alive: always the same session, and each in its turn. */
export async function measureSessions(client, pid, { rounds, milliseconds }) {
  const alone = await sessionWith(client, INCREMENT);
  const sessions = await sessionsWith(client, INCREMENT, 1_000);
  const targets = [
    ...echoes(client, pid),
    calls("one session", client, pid, [alone]),
    calls("1,000 sessions", client, pid, sessions),
  ];
  const measured = await interleave(targets, { inFlight: 1, rounds, milliseconds });
  await deleteAll(client, [alone, ...sessions]);
  return measured;
}

/**
 * Calls with live data in the session, against shipping the same data with every call: to livescope (Execute without a
 * session) and to node:vm behind gRPC.
 */
export async function measureLiveData(client, pid, { rounds, milliseconds }) {
  const vm = await ServerProcess.start("node-vm");
  const vmClient = new ShipClient(vm.addresses);
  const heaps = new Map();
  const sessions = [];
  const targets = echoes(client, pid);
  for (const { label, bytes } of SCOPES) {
    const text = scopeText(bytes);
    const sessionId = await client.create(SCOPE_MEMORY);
    const session = { sessionId, handleId: await client.handle(sessionId, buildSource(bytes)) };
    sessions.push(session);
    await client.call(sessionId, session.handleId, SHIPPED_INDEX);
    heaps.set(label, await client.heapBytes(sessionId));
    targets.push(
      { name: `call ${label}`, pid, run: (i) => client.call(sessionId, session.handleId, i) },
      {
        name: `ship to livescope ${label}`,
        pid,
        run: async () => checkShipped(text, await (bytes > PART_BYTES ? shipInParts : shipAtOnce)(client, text)),
      },
      {
        name: `ship to node:vm ${label}`,
        pid: vm.pid,
        run: async () => checkShipped(text, await vmClient.ship(text)),
      },
    );
  }
  const measured = await interleave(targets, { inFlight: 1, rounds, milliseconds: milliseconds / 2 });
  await deleteAll(client, sessions);
  vmClient.close();
  await vm.stop();
  return { measured, heaps };
}

/** Both ways count one record up, so what comes back is as long as what was sent. */
function checkShipped(sent, received) {
  if (received === sent || received.length !== sent.length) throw new Error("a shipped scope came back wrong");
}

async function shipAtOnce(client, text) {
  const code = `${TOUCH_SOURCE}; touch(${SHIPPED_INDEX}); scope`;
  const options = { bindings: { scope: text }, encoding: Encoding.JSON, memoryMebibytes: SCOPE_MEMORY };
  return (await client.execute(code, options)).json;
}

/** More than a message carries goes through a session of its own, in parts, there and back. */
async function shipInParts(client, text) {
  const sessionId = await client.create(SCOPE_MEMORY);
  await client.execute("var text = ''", { sessionId, encoding: Encoding.NONE });
  for (let at = 0; at < text.length; at += PART_BYTES) {
    const bindings = { part: JSON.stringify(text.slice(at, at + PART_BYTES)) };
    await client.execute("text += part", { sessionId, bindings, encoding: Encoding.NONE });
  }
  const code = `var scope = JSON.parse(text); ${TOUCH_SOURCE}; touch(${SHIPPED_INDEX}); text = JSON.stringify(scope)`;
  await client.execute(code, { sessionId, encoding: Encoding.NONE });
  let changed = "";
  for (let at = 0; at < text.length; at += PART_BYTES) {
    const part = await client.execute(`text.slice(${at}, ${at + PART_BYTES})`, { sessionId, encoding: Encoding.JSON });
    changed += JSON.parse(part.json);
  }
  await client.delete(sessionId);
  return changed;
}

/**
 * Resident memory of the server, in a process of its own whose pools are still empty.
 *
 * @param {Plan} plan
 */
export async function measureMemory({ liveSessions, idleSeconds }) {
  const server = await ServerProcess.start("livescope");
  const client = new LivescopeClient(server.addresses);
  // What the first calls load and compile is no session's. Of the memories of these, that would be used again, 8 are kept after a while.
  await deleteAll(client, await sessionsWith(client, INCREMENT, 50));
  await sleep(5_000);
  const base = await server.residentBytes();
  const perSession = async (count) => ((await server.residentBytes()) - base) / count;

  const sessions = [];
  const create = async (i) => {
    sessions[i] = { sessionId: await client.create() };
  };
  const use = async ({ sessionId }, i) => {
    const handleId = await client.handle(sessionId, INCREMENT);
    sessions[i] = { sessionId, handleId };
    if ((await client.call(sessionId, handleId, 1)) !== 1) throw new Error("a session did not begin afresh");
  };
  const { p50: createP50, elapsed } = await runAll(1_000, 1, create);
  const unused = await perSession(1_000);
  await runAll(1_000, 16, (i) => use(sessions[i], i));
  const used = await perSession(1_000);
  await sleep(idleSeconds * 1_000);
  const idle = idleSeconds > 0 ? await perSession(1_000) : undefined;
  const result = { createP50, createsPerSecond: 1_000_000 / elapsed, unused, used, idle, live: undefined };
  if (liveSessions > 0) {
    await runAll(liveSessions - 1_000, 16, async (i) => {
      await create(i + 1_000);
      await use(sessions[i + 1_000], i + 1_000);
    });
    const bytes = await perSession(liveSessions);
    for (const { sessionId, handleId } of [sessions[0], sessions[liveSessions - 1]]) {
      if ((await client.call(sessionId, handleId, 41)) !== 42) throw new Error("a live session lost its state");
    }
    const { p50 } = await runAll(liveSessions, 1, (i) => client.call(sessions[i].sessionId, sessions[i].handleId, 1));
    result.live = { sessions: liveSessions, bytes, p50 };
  }
  client.close();
  await server.stop();
  return result;
}
