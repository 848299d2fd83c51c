import { expect, test, vi } from "vitest";
import { type ServeOptions, serveCommand } from "./serve-options.js";

vi.mock("node:os", async (original) => ({ ...(await original<object>()), availableParallelism: () => 300 }));

test("a machine of very many cores has as many workers as may be asked for, and no more", async () => {
  const served: ServeOptions[] = [];
  const command = () => serveCommand(async (options) => void served.push(options));
  await command().parseAsync([], { from: "user" });
  await command().parseAsync(["--workers", "64"], { from: "user" });
  expect(served.map(({ workers }) => workers)).toEqual([64, 64]);
});
