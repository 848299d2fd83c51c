import type { Session } from "@livescope/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { complete } from "../../server/src/cli/repl/completion.js";
import { withServer } from "../support/server.js";

const served = withServer();
let session: Session;

beforeAll(async () => {
  session = await served.client.createSession({
    setup: `
      let counter = { up() { return 1 }, upper: { deep: [{ leaf: 1 }] }, "not-a-name": 1, [Symbol("up")]: 1 };
      const text = "abc"; let count = 5; var list = [1]; let map = new Map();
      class Base { below() {} } class Point extends Base { norm() {} get ran() { throw touched = true } } let point = new Point();
      var touched = false;
      var trap = new Proxy({}, { ownKeys() { touched = true }, get() { touched = true } });
      Object.defineProperty(globalThis, "lazy", { get() { touched = true; return { a: 1 } }, configurable: true });
    `,
  });
});
afterAll(() => session[Symbol.asyncDispose]());

async function names(line: string): Promise<string[]> {
  return (await complete(session, line))[0];
}

describe("completion", () => {
  test.each([
    ["counter.u", ["up", "upper"], "u"],
    ["1 + counter.upper.de", ["deep"], "de"],
    ["counter?.upper?.d", ["deep"], "d"],
    ["counter.upper.deep[0].le", ["leaf"], "le"],
    ['counter["upper"].de', ["deep"], "de"],
    ["globalThis.counte", ["counter"], "counte"],
    ["this.counte", ["counter"], "counte"],
    ["text.toUpp", ["toUpperCase"], "toUpp"],
    ["count.toFi", ["toFixed"], "toFi"],
    ["list.fla", ["flat", "flatMap"], "fla"],
    ["map.has", ["has", "hasOwnProperty"], "has"],
    ["point.n", ["norm"], "n"],
    ["point.ra", ["ran"], "ra"],
    ["counter.up.app", ["apply"], "app"],
    ["Math.sq", ["sqrt"], "sq"],
    ["f(structuredC", ["structuredClone"], "structuredC"],
    ["counte", ["counter"], "counte"],
    ["typeo", ["typeof"], "typeo"],
  ])("of %s gives %j", async (line, found, typed) => {
    expect(await complete(session, line)).toEqual([found, typed]);
  });

  test("offers names alone, and all of them where nothing was typed", async () => {
    const members = await names("counter.");
    expect(members).toEqual(expect.arrayContaining(["up", "upper", "toString"]));
    expect(members).not.toContain("not-a-name");
    expect(await names("x = ")).toEqual(expect.arrayContaining(["counter", "await", "Math"]));
  });

  test.each(["f().to", "'x'.to", "nowhere.a", "text.length.x", "counter.up()."])(
    "has nothing to say about %s",
    async (line) => {
      expect(await names(line)).toEqual([]);
    },
  );

  test("runs no code of the guest", async () => {
    for (const line of ["lazy.", "trap.", "trap.a.", "point.ran.", "laz"]) await names(line);
    expect(await session.execute("touched")).toBe(false);
  });
});
