/** What a worker compiled for one session it takes for the same source of another: and for no other. */
import { expect, test } from "vitest";
import { withServer } from "./support/server.js";

const served = withServer({ workers: 1 });

test("a module is not taken for one whose name and text are the same in a row", async () => {
  const checkedBy = async (name: string, text: string): Promise<unknown> => {
    await using session = await served.client.createSession({ modules: { [name]: text } });
    return await session.execute(`const { isChecked } = await import(${JSON.stringify(name)}); isChecked`);
  };
  const [check, rest] = ["globalThis.checked = true", " export const isChecked = globalThis.checked"];
  expect(await checkedBy(`a.js;${check}`, rest)).toBeUndefined();
  expect(await checkedBy("a.js", `${check};${rest}`)).toBe(true);
});

test("a script that has bindings is not taken for one that meets constants", async () => {
  await using declaring = await served.client.createSession({ setup: "const fixed = 1" });
  await using binding = await served.client.createSession();
  await declaring.execute("c = 2");
  await binding.execute("c = 2", { bindings: { c: 1 } });
  expect(await binding.execute("typeof c")).toBe("undefined");
});
