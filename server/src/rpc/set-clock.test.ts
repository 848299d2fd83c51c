import { Livescope } from "@livescope/sdk";
import { afterEach, expect, test, vi } from "vitest";
import { startServer } from "../server.js";

afterEach(() => void vi.restoreAllMocks());

test("a machine's clock that is set back or put forward takes no time from a request, and gives it none", async () => {
  const server = await startServer();
  const client = await Livescope.connect(server.address, { transport: "unary" });
  const { now } = Date;
  const answers: unknown[] = [];
  for (const jump of [-3_600_000, 3_600_000]) {
    vi.spyOn(Date, "now").mockImplementation(() => now() + jump);
    answers.push(await client.execute("await new Promise((wake) => setTimeout(wake, 20)); 1", { timeout: 9_000 }));
    vi.restoreAllMocks();
  }
  expect(answers).toEqual([1, 1]);
  await client.close();
  await server.close();
});
