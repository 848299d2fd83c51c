import type { Session } from "@livescope/sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  return () => session.delete();
});

describe("guest code that attacks its own session", () => {
  test("reads nothing of the contexts that its sources hold, and makes none", async () => {
    const facts = await session.execute(`
      const key = "$live" + "scope$c";
      let caught;
      const trap = new Proxy({}, {
        has: (_, name) => name === key,
        get: (target, name) => (name === Symbol.unscopables ? undefined : target[name]),
        set: (target, name, value) => { target[name] = caught = value; return true },
      });
      const generator = (async function* () { with (trap) { yield 1; yield 2 } })();
      for (let i = 0; i < 3; i++) await generator.next();
      const prototype = Object.getPrototypeOf(caught);
      [typeof caught, Reflect.ownKeys(caught), Reflect.ownKeys(prototype), Object.getPrototypeOf(prototype), Object.isFrozen(prototype)]`);
    expect(facts).toEqual(["object", [], [], null, true]);
  });

  test.each([
    [
      "Number",
      "globalThis.Number = () => { throw new Error('guest') }; await new Promise((ok) => setTimeout(() => ok(1), 1))",
    ],
    ["Object.prototype.get", "Object.prototype.get = () => 1; locals.user"],
  ])("does not break the kernel by replacing %s", async (_what, code) => {
    expect(await session.execute(code, { locals: { user: 1 } })).toBe(1);
  });

  test("is asked for none of its global names when its values are looked at, and goes on without them", async () => {
    await session.execute(`
      const values = { text: "a\\nb", map: new Map([[1, new Date(0)]]), error: new Error("e"), list: [1.5, -0, 2n, , Symbol("s")] };
      const { log } = console, { defineProperty, getOwnPropertyNames } = Object, realm = globalThis;
      const asked = [];
      for (const name of getOwnPropertyNames(realm)) {
        if (["values", "log", "defineProperty", "getOwnPropertyNames", "realm", "asked"].includes(name)) continue;
        const get = () => { asked[asked.length] = name; throw "asked for " + name };
        try { defineProperty(realm, name, { get, configurable: true }) } catch {}
      }
      0`);
    expect((await session.inspect("values")).properties.map(({ name }) => name)).toEqual([
      "text",
      "map",
      "error",
      "list",
    ]);
    const { console } = await session
      .execute('log("%s %d %i %f %j %o", "s", "7", {}, "1.5x", values.text, values)')
      .execution();
    expect(console[0]?.text).toMatch(/^s 7 NaN 1.5 "a\\nb" {/);
    expect((await session.handle("values")).preview).toContain("map: Map(1)");
    expect(await session.execute("values.map")).toEqual(new Map([[1, new Date(0)]]));
    await expect(session.execute("null.x")).rejects.toMatchObject({ guestName: "TypeError" });
    expect(await session.execute("asked")).toEqual([]);
  });

  test("keeps its locals in a promise whose own constructor and then the engine asks", async () => {
    const code = `
      let seen;
      const promise = Promise.resolve();
      promise.constructor = undefined;
      promise.then = (ok) => { seen = locals.user; ok() };
      await promise;
      seen`;
    expect(await session.execute(code, { locals: { user: "ann" } })).toBe("ann");
  });

  test.each([
    ["in parentheses", "async function* g() { yield* ([1, 2]) }"],
    ["of a sequence", "async function* g() { yield* (0, [1, 2]) }"],
    ["on a line of its own", "async function* g() { yield*\n[1, 2] }"],
  ])("delegates to what stands %s", async (_where, source) => {
    expect(
      await session.execute(`${source}; const all = []; for await (const each of g()) all.push(each); all`),
    ).toEqual([1, 2]);
  });
});
