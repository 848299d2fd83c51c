import type { ServiceError } from "@grpc/grpc-js";
import { Command, type Event, Limits, RenderRequest, type RenderResponse, Value } from "@livescope/proto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { withServer } from "./support/server.js";
import { type Clients, connectClients, send } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;
let sessionId: string;

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
beforeEach(async () => {
  const session = await served.client.createSession();
  sessionId = session.id;
  return () => session[Symbol.asyncDispose]();
});

type Fields = Partial<RenderRequest>;
const source = (value: string) => ({ $case: "source", value }) as const;
const requestOf = (fields: Fields): RenderRequest => ({ ...RenderRequest.create(), sessionId, ...fields });

function render(fields: Fields): Promise<RenderResponse> {
  return send(clients.sandbox, clients.sandbox.render, requestOf(fields));
}

async function run(fields: Fields, flags: Partial<Command> = {}): Promise<Event["event"][]> {
  const value = requestOf(fields);
  const events: Event["event"][] = [];
  const command: Command = { ...Command.create(), ...flags, command: { $case: "render", value } };
  const stream = clients.sandbox.run({ command });
  for await (const { event } of stream) events.push(event?.event);
  return events;
}

async function refusal(fields: Fields): Promise<string> {
  const error = await render(fields).then(
    () => undefined,
    (thrown: ServiceError) => thrown,
  );
  return error?.details ?? "it was not refused";
}

describe("Render", () => {
  test("gives the text once, and the execution", async () => {
    const data = (value: unknown) => ({ kind: { $case: "data" as const, value: JSON.stringify(value) } });
    const { text, execution } = await render({
      template: source("{{ a }}{{ b }}"),
      context: new Map([
        ["b", data(1)],
        ["a", data("<")],
      ]),
    });
    expect(text).toBe("&lt;1");
    expect(execution?.outcome).toEqual({ $case: "value", value: { kind: undefined } });
    expect(execution?.usage?.turns).toBe(1n);
  });

  test("has no text where the template fails", async () => {
    const { text, execution } = await render({ template: source("a{{ nope }}") });
    expect(text).toBe("");
    expect(execution?.outcome).toMatchObject({ $case: "exception", value: { name: "ReferenceError" } });
  });

  test("repeats nothing for a request_id that it knows", async () => {
    await (await served.client.attach(sessionId)).execute("var n = 0");
    const fields = {
      template: source("{{ globalThis.n += 1 }}"),
      requestId: "one",
      templates: new Map([
        ["b", "1"],
        ["a", "2"],
      ]),
    };
    expect((await render(fields)).text).toBe("1");
    const again = { ...fields, templates: new Map([...fields.templates].reverse()) };
    expect((await render(again)).text).toBe("1");
    expect(await refusal({ ...fields, template: source("") })).toContain("request_id");
  });

  test.each<[string, Fields]>([
    ["template: say what to render", {}],
    ["name: the session has no template", { template: { $case: "name", value: "x" } }],
    ["name: a template's name is", { template: { $case: "name", value: "" } }],
    ["templates: a template's name is", { template: source(""), templates: new Map([["a\nb", ""]]) }],
    ["filename: has no meaning with name", { template: { $case: "name", value: "x" }, filename: "y" }],
    ["filename: a template's name is", { template: source(""), filename: "a\nb" }],
    ["context[if]: is a reserved word", { template: source(""), context: new Map([["if", Value.create()]]) }],
    [
      "context[x]: is not valid JSON text",
      { template: source(""), context: new Map([["x", { kind: { $case: "json", value: "{" } }]]) },
    ],
    ["stream: is for Run and Connect", { template: source(""), stream: true }],
    ["limits.timeout", { template: source(""), limits: Limits.fromPartial({ timeout: { seconds: -1n } }) }],
  ])("refuses: %s", async (message, fields) => {
    expect(await refusal(fields)).toContain(message);
  });

  test("adds no templates when it refuses", async () => {
    const templates = new Map([["a", "x"]]);
    await refusal({ template: { $case: "name", value: "nix" }, templates });
    expect(await refusal({ template: { $case: "name", value: "a" } })).toContain("no template of this name");
    expect((await render({ template: { $case: "name", value: "a" }, templates })).text).toBe("x");
  });
});

describe("a template over Run", () => {
  test("is the value of the execution", async () => {
    const events = await run({ template: source("<{{ 1 }}>") });
    expect(events).toMatchObject([
      { $case: "finished", value: { outcome: { $case: "value", value: { kind: { $case: "json", value: '"<1>"' } } } } },
    ]);
  });

  test("comes in pieces where that is asked for, beside what it writes", async () => {
    const template = source("{% for i of Array(5) %}{{ console.log('row') }}{% raw 'x'.repeat(10000) %}{% end %}.");
    const events = await run({ template, stream: true });
    const pieces = events.flatMap((event) =>
      event?.$case === "emitted" && event.value.kind?.$case === "json"
        ? [JSON.parse(event.value.kind.value) as string]
        : [],
    );
    expect(pieces.map(({ length }) => length)).toEqual([20_000, 20_000, 10_001]);
    expect(events.filter((event) => event?.$case === "console")).toHaveLength(5);
    expect(events.at(-1)).toMatchObject({ value: { outcome: { $case: "value", value: { kind: undefined } } } });
  });

  test.each([true, false])("is refused in pieces that are dropped, console at the end: %s", async (consoleAtEnd) => {
    const events = run({ template: source("a"), stream: true }, { dropEmitted: true, consoleAtEnd });
    await expect(events).rejects.toMatchObject({
      code: 3,
      details: "stream: sends what drop_emitted asks to drop; leave one of them out",
    });
  });
});
