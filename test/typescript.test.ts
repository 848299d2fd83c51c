import { Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

describe("TypeScript", () => {
  let server: RunningServer;
  let client: Livescope;
  let session: Session;
  const language = "typescript";

  beforeAll(async () => {
    server = await startServer();
    client = await Livescope.connect(server.address);
  });
  afterAll(async () => {
    await client.close();
    await server.close();
  });
  beforeEach(async () => {
    session = await client.createSession();
    return () => session.delete();
  });

  test("runs with its types taken out, and is as live as JavaScript", async () => {
    const code =
      "interface P { n: number }\nlet p: P = { n: 1 };\nfunction add(by: number): number { return (p.n += by) as number }";
    await session.execute(code, { language });
    expect(await session.call("add", [41])).toBe(42);
    expect(await session.execute("let p: P = <T,>(x: T) => x; typeof p", { language })).toBe("function");
  });

  test("without a session works too", async () => {
    expect(await client.execute("const n: number = await Promise.resolve(3); n satisfies number", { language })).toBe(
      3,
    );
  });

  test("keeps positions, under a name of its own", async () => {
    const failure = session.execute("type A = { long: string };\nlet x: A, y = (z: any) => z.a.b; y({})", { language });
    await expect(failure).rejects.toMatchObject({
      guestName: "TypeError",
      frames: [
        { filename: "script.ts", functionName: "y", line: 2, column: 30 },
        { filename: "script.ts", line: 2, column: 35 },
      ],
    });
  });

  test.each([
    ["enum A { B }", 1, 1],
    ["let ok = 1;\nclass A { constructor(public n: number) {} }", 2, 30],
    ["let x: = 1", 1, 8],
    ["let x: number = 1; let x = 2", 1, 26],
  ])("that is not JavaScript with types does not parse, and nothing of it runs: %s", async (code, line, column) => {
    const failure = session.execute(`${code}`, { language, filename: "a.ts" });
    await expect(failure).rejects.toMatchObject({
      guestName: "SyntaxError",
      phase: "PARSE",
      frames: [{ filename: "a.ts", line, column }],
    });
    expect(await session.execute("typeof ok + typeof x")).toBe("undefinedundefined");
  });

  test("may have bindings", async () => {
    expect(await session.execute("(x as number) + 1", { language, bindings: { x: 1 } })).toBe(2);
  });
});
