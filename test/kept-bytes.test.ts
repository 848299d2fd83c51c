/** What the main thread keeps of sessions is bounded for all of them together, and who keeps little finds room beside who keeps much. */
import { Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

const MEBIBYTE = 1 << 20;
const LARGE = 900_000;

let server: RunningServer;
let client: Livescope;
let sessions: Session[];
beforeAll(async () => {
  server = await startServer({ maximumKept: 5.5 * MEBIBYTE });
  client = await Livescope.connect(server.address);
});
afterAll(async () => {
  await client.close();
  await server.close();
});
beforeEach(async () => {
  sessions = await Promise.all(Array.from({ length: 9 }, () => client.createSession()));
});
afterEach(async () => {
  for (const session of sessions) await session.delete();
});

test("outcomes for repeats: beyond the bound those go that are not small", async () => {
  const outcomes: string[] = [];
  const large = (requestId: string) => `globalThis.runs = (globalThis.runs ?? 0) + 1; "${requestId}".repeat(${LARGE})`;
  for (const session of sessions) await session.execute(large("x"), { requestId: "large" });
  for (const session of sessions) {
    const repeat = session.execute(large("x"), { requestId: "large" }).then(String, ({ reason }) => reason);
    outcomes.push((await repeat).slice(0, 20));
    expect(await session.execute("runs", { requestId: "small" })).toBe(1);
    expect(await session.execute("runs", { requestId: "small" })).toBe(1);
  }
  expect(outcomes).toEqual(sessions.map((_, i) => (i < 6 ? "x".repeat(20) : "OUTCOME_EXPIRED")));
});

test("replies that guest code does not take: beyond the bound its calls are rejected", async () => {
  let waiting = sessions.length;
  for (const session of sessions) {
    await session.expose({
      ask: () => {
        waiting--;
        return "y".repeat(LARGE);
      },
    });
    // No execution is in flight when the reply comes, so it waits for the next one.
    await session.execute("globalThis.asked = ask().then((text) => text.length, (error) => error.message); 0");
  }
  await expect.poll(() => waiting).toBe(0);
  // What each of them sent was read by the time when something behind it is answered.
  for (const session of sessions) await session.expose({ other: () => 0 });
  const taken: unknown[] = [];
  for (const session of sessions) taken.push(await session.execute("await asked"));
  expect(taken.filter((each) => each === LARGE)).toHaveLength(6);
  expect(taken.filter((each) => String(each).includes("too large together"))).toHaveLength(3);
  // They have been taken.
  expect(await sessions[8]?.execute("await ask().then((text) => text.length)")).toBe(LARGE);
});

test("consoles of what is in flight: beyond the bound they are cut, and what has ended leaves room", async () => {
  const write = `for (let i = 0; i < 200; i++) console.log("z".repeat(1000));`;
  // With a timer in it, it waits for something that may come.
  const wait = "await new Promise((done) => { setTimeout(done, 1e7); (globalThis.waiting ??= []).push(done) })";
  const running = sessions.flatMap((session) =>
    Array.from({ length: 4 }, () => session.execute(`${write} ${wait}`).execution()),
  );
  for (const session of sessions) await expect.poll(() => session.execute("globalThis.waiting?.length")).toBe(4);
  for (const session of sessions) await session.execute("for (const done of waiting) done()");
  const ended = await Promise.all(running);
  const cut = ended.filter(({ consoleTruncated }) => consoleTruncated);
  const whole = ended.filter(({ console }) => console.length === 200);
  expect([cut.length > 0, whole.length > 0, cut.length + whole.length]).toEqual([true, true, ended.length]);
  for (const { console } of cut) expect(console.at(-1)?.text).toBe("…");
  const later = await sessions[0]?.execute(write).execution();
  expect([later?.console.length, later?.consoleTruncated]).toEqual([200, false]);
});

test("labels: beyond the bound those are refused that are not small, and what is given up leaves room", async () => {
  const labels = Object.fromEntries(
    Array.from({ length: 64 }, (_, i) => [`${i}`.padEnd(1_000, "k"), "v".repeat(1_000)]),
  );
  const labelled: Session[] = [];
  const fill = async (): Promise<void> => {
    while (labelled.length < 100) labelled.push(await client.createSession({ labels }));
  };
  const refused = { reason: "QUOTA_EXCEEDED" };
  await expect(fill()).rejects.toMatchObject(refused);
  const [session] = sessions as [Session];
  await expect(session.update({ labels })).rejects.toMatchObject(refused);
  await expect(session.fork({ labels })).rejects.toMatchObject(refused);
  expect((await session.update({ labels: { a: "b" } })).labels).toEqual({ a: "b" });
  await labelled.pop()?.update({ labels: {} });
  expect((await session.update({ labels })).labels).toEqual(labels);
  await labelled.pop()?.delete();
  labelled.push(await client.createSession({ labels }));
  for (const each of labelled) await each.delete();
});

/** The session waits for nobody, and guest code has not taken what it was answered. */
async function askedLarge(session: Session): Promise<void> {
  let asked = 0;
  const ask = (): string => {
    asked++;
    return "y".repeat(LARGE);
  };
  await session.expose({ ask });
  await session.execute("globalThis.asked = ask().then((text) => text.length); 0");
  await expect.poll(() => asked).toBe(1);
  await session.expose({ other: () => 0 });
}

test("copies of what a session is in the middle of: beyond the bound none are made, and others keep their room", async () => {
  const [origin, other] = sessions as [Session, Session];
  await askedLarge(origin);
  await expect(origin.fork(20)).rejects.toThrow("has no room for the calls that were open");
  expect(await other.execute("1", { requestId: "small" })).toBe(1);
  expect(await other.execute("1", { requestId: "small" })).toBe(1);
  const copies = await origin.fork(4);
  expect(await copies[0]?.execute("await asked")).toBe(LARGE);
  for (const copy of copies) await copy.delete();
});

test("what sessions are put back to the middle of: beyond the bound they are not put back", async () => {
  const outcomes: string[] = [];
  const puttingBack: (() => Promise<unknown>)[] = [];
  for (const session of sessions) {
    await askedLarge(session);
    const snapshot = await session.snapshot();
    puttingBack.push(() => session.rollback(snapshot));
    expect(await session.execute("await asked")).toBe(LARGE);
  }
  for (const putBack of puttingBack)
    outcomes.push(
      await putBack().then(
        () => "back",
        ({ reason }) => reason,
      ),
    );
  expect(outcomes).toEqual(sessions.map((_, i) => (i < 6 ? "back" : "QUOTA_EXCEEDED")));
  // In place of what it is in the middle of.
  await puttingBack[0]?.();
  expect(await sessions[0]?.execute("await asked")).toBe(LARGE);
});

test("names that a snapshot was taken with: beyond the bound no more sessions are made from it", async () => {
  const [origin] = sessions as [Session];
  const names = Array.from({ length: 1_000 }, (_, i) => [`n${i}_`.padEnd(1_000, "x"), () => 1]);
  await origin.expose(Object.fromEntries(names));
  const snapshot = await origin.snapshot();
  const made = await Promise.allSettled(Array.from({ length: 9 }, () => client.createSession({ from: snapshot })));
  const sessionsMade = made.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const reasons = made.flatMap((each) => (each.status === "rejected" ? [each.reason.reason] : []));
  expect([sessionsMade.length, reasons]).toEqual([4, Array.from({ length: 5 }, () => "QUOTA_EXCEEDED")]);
  // Who provides the names keeps no more for it.
  await sessionsMade[0]?.expose(Object.fromEntries(names));
  for (const session of sessionsMade) await session.delete();
});

test("what a snapshot was taken in the middle of: beyond the bound no more sessions are made from it", async () => {
  const [origin] = sessions as [Session];
  await askedLarge(origin);
  const snapshot = await origin.snapshot();
  const made: Session[] = [];
  const make = async (): Promise<number> => made.push(await client.createSession({ from: snapshot }));
  for (let i = 0; i < 5; i++) await make();
  await expect(make()).rejects.toThrow("has no room for the calls that were open");
  await made.pop()?.delete();
  await make();
  expect(await made[0]?.execute("await asked")).toBe(LARGE);
  for (const session of made) await session.delete();
});
