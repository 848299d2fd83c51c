/** What copies of a session cost: forks, snapshots, and the memory that a thousand forks take. */
import { LivescopeClient } from "./client.mjs";
import { interleave, runAll } from "./measure.mjs";
import { ServerProcess } from "./processes.mjs";

const KIBIBYTE = 1024;

/** Live data, as bytes of heap beside what a session begins with. */
export const COPIED = [
  { label: "0", bytes: 0 },
  { label: "1 MiB", bytes: 1024 * KIBIBYTE },
  { label: "10 MiB", bytes: 10 * 1024 * KIBIBYTE },
];

const FORKS = 1_000;
/** Objects with a string each, until the heap has grown by so much: of this form one takes some 120 bytes. */
const fill = (bytes) =>
  `var live = []; for (let i = 0; i < ${Math.round(bytes / 120)}; i++) live.push({ i, s: "text " + i }); 0`;

async function filled(client, sdk, bytes) {
  const sessionId = await client.create();
  await client.execute(fill(bytes), { sessionId });
  return { sessionId, session: sdk.attach(sessionId), heap: await client.heapBytes(sessionId) };
}

/** One at a time: forks, snapshots, and sessions made of them. What is made is deleted outside of what is timed. */
export async function measureCopies(client, pid, { rounds, milliseconds }) {
  const sdk = await client.sdk();
  const targets = ["echoA", "echoB"].map((name) => ({ name, pid, run: () => client.echo(name) }));
  const origins = [];
  const sizes = new Map();
  for (const { label, bytes } of COPIED) {
    const origin = await filled(client, sdk, bytes);
    origins.push(origin);
    const snapshot = await origin.session.snapshot();
    sizes.set(label, { heap: origin.heap, snapshot: snapshot.sizeBytes });
    const timed = async (work, undo) => {
      const start = performance.now();
      const made = await work();
      const took = performance.now() - start;
      await undo(made);
      return took;
    };
    const deleteFirst = ([copy]) => client.delete(copy);
    targets.push(
      {
        name: `fork ${label}`,
        pid,
        timesItself: true,
        run: () => timed(() => client.fork(origin.sessionId, 1), deleteFirst),
      },
      {
        name: `snapshot ${label}`,
        pid,
        timesItself: true,
        run: () =>
          timed(
            () => origin.session.snapshot(),
            (taken) => sdk.deleteSnapshot(taken),
          ),
      },
      {
        name: `restore ${label}`,
        pid,
        timesItself: true,
        run: () =>
          timed(
            () => sdk.createSession({ from: snapshot }),
            (session) => session.delete(),
          ),
      },
    );
  }
  const measured = await interleave(targets, { inFlight: 1, rounds, milliseconds });
  for (const { sessionId } of origins) await client.delete(sessionId);
  return { measured, sizes };
}

/**
 * Resident memory of sessions that made their data themselves, and of forks of one of them, in a process of its own: before and
 * after each was used. Using one takes memory of the server and of its heap, whoever it is.
 */
export async function measureForkMemory() {
  const server = await ServerProcess.start("livescope");
  const client = new LivescopeClient(server.addresses);
  const sdk = await client.sdk();
  // What the first calls load and compile is no session's; and what is given up here must not be met again below.
  for (let i = 0; i < 50; i++) await client.delete((await filled(client, sdk, 0)).sessionId);
  const before = await server.residentBytes();
  const origins = [];
  for (let i = 0; i < FORKS; i++) origins.push(await filled(client, sdk, 1024 * KIBIBYTE));
  const origin = ((await server.residentBytes()) - before) / origins.length;
  await runAll(FORKS, 16, (i) => client.execute("live.length", { sessionId: origins[i].sessionId }));
  const usedOrigin = ((await server.residentBytes()) - before) / origins.length;
  const base = await server.residentBytes();
  const start = performance.now();
  const forks = await client.fork(origins[0].sessionId, FORKS);
  const elapsed = performance.now() - start;
  const unused = ((await server.residentBytes()) - base) / FORKS;
  await runAll(FORKS, 16, (i) => client.execute("live.length", { sessionId: forks[i] }));
  const used = ((await server.residentBytes()) - base) / FORKS;
  await client.close();
  await server.stop();
  return { forks: FORKS, heap: origins[0].heap, origin, usedOrigin, unused, used, elapsed };
}
