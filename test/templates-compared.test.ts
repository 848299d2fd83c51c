import { describe, expect, test } from "vitest";
import { pageText } from "./support/documents.js";
import { withServer } from "./support/server.js";
import { ENGINES, SCENARIOS, type Scenario } from "./support/template-languages.js";

const served = withServer();

/** The table of docs/templates.md that compares engines: cells by the name of the row and of the column. */
function table(): Map<string, Map<string, string>> {
  const [, section = ""] = pageText("docs/templates.md").split("\n## Compared\n");
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  const cells = lines.map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|")));
  const [head = [], , ...rows] = cells;
  return new Map(
    rows.map((row) => [row[1] ?? "", new Map(head.map((name, i) => [name.split(" ")[0] ?? "", row[i] ?? ""]))]),
  );
}

async function cellOf(render: () => Promise<string> | string): Promise<string> {
  try {
    return `\`${(await render()).replaceAll("\n", "⏎")}\``;
  } catch {
    return "error";
  }
}

describe("docs/templates.md compares with other engines", () => {
  const cases = Object.entries(SCENARIOS).flatMap(([row, scenario]) =>
    Object.keys(ENGINES).map((engine) => ({ row, engine, scenario })),
  );

  test.each(cases)("$row of $engine is what it does", async ({ row, engine, scenario }) => {
    const text = scenario[engine as keyof Scenario] as string;
    const shown = await cellOf(() => ENGINES[engine]?.(text, scenario.context) ?? "");
    expect(table().get(row)?.get(engine)).toBe(shown);
  });

  test.each(Object.entries(SCENARIOS))("%s of livescope is what it does", async (row, { livescope, context }) => {
    await using session = await served.client.createSession();
    const shown = await cellOf(() => session.render(livescope, { ...context }));
    expect(table().get(row)?.get("livescope")).toBe(shown);
  });
});
