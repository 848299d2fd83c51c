import { expect, test } from "vitest";
import { defaultWorkers, type ServeOptions, serveCommand } from "./serve-options.js";

test("a machine of very many cores has as many workers as may be asked for, and no more", async () => {
  const served: ServeOptions[] = [];
  const command = () => serveCommand(async (options) => void served.push(options));
  await command().parseAsync([], { from: "user" });
  await command().parseAsync(["--workers", `${defaultWorkers(300)}`], { from: "user" });
  expect(served.map(({ workers }) => workers)).toEqual([defaultWorkers(), 64]);
  await expect(command().parseAsync(["--workers", "65"], { from: "user" })).rejects.toThrow("64");
});
