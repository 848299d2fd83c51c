/** Render: checks the request, and makes its command and its answer. */
import { Encoding, RenderRequest, type RenderResponse } from "@livescope/proto";
import { invalid } from "../session/errors.js";
import type { Command } from "../session/execution.js";
import type { Sessions } from "../session/sessions.js";
import { type CheckedCommand, canonicalValues, digestOf, optionsOf } from "./commands.js";
import { outcomeFor } from "./submit.js";
import type { CallContext } from "./unary.js";
import { checkedText, inputValues } from "./values.js";

const TEMPLATES = 1_000;
/** What a template without a name is called; in angle brackets, so that it is no name of another. */
const UNNAMED = "<template>";

/** @throws SessionError INVALID_REQUEST */
export function renderCommand(
  request: RenderRequest,
  context: Pick<CallContext, "deadline">,
  passed?: string[],
): CheckedCommand {
  const { template, templates, autoescape, stream } = request;
  if (template === undefined) throw invalid("template", "say what to render: a source, or the name of a template");
  if (templates.size > TEMPLATES) throw invalid("templates", `may have at most ${TEMPLATES} entries`);
  const isNamed = template.$case === "name";
  if (isNamed && request.filename !== "") throw invalid("filename", "has no meaning with name; leave it out");
  const command: Command = {
    kind: "render",
    source: isNamed ? undefined : template.value,
    name: isNamed
      ? checkedName(template.value, "name")
      : request.filename === ""
        ? UNNAMED
        : checkedName(request.filename, "filename"),
    templates: new Map([...templates].map(([name, text]) => [checkedName(name, "templates"), text])),
    // In one order, whatever the client's map has: the same names are compiled once.
    context: inputValues(new Map([...request.context].sort(([a], [b]) => (a < b ? -1 : 1))), "context", passed),
    autoescape: autoescape ?? true,
    stream,
  };
  // A text is never a handle.
  const asked = { ...request, encoding: Encoding.JSON, handleGroup: "" };
  return { command, options: optionsOf(asked, context, () => digest(request), passed) };
}

function digest(request: RenderRequest): string {
  const canonical: RenderRequest = {
    ...request,
    templates: new Map([...request.templates].sort(([a], [b]) => (a < b ? -1 : 1))),
    context: canonicalValues(request.context),
    locals: canonicalValues(request.locals),
    limits: undefined,
    parentExecutionId: "",
  };
  return digestOf("render", RenderRequest.encode(canonical).finish());
}

/** Names stand in stacks, one frame a line. */
function checkedName(name: string, field: string): string {
  checkedText(name, field);
  if (name === "" || /\p{Cc}/u.test(name)) throw invalid(field, "a template's name is text without control characters");
  return name;
}

/** @throws SessionError INVALID_REQUEST */
export async function render(
  sessions: Sessions,
  request: RenderRequest,
  context: CallContext,
): Promise<RenderResponse> {
  if (request.stream) throw invalid("stream", "is for Run and Connect: Render gives the text as a whole");
  const message = await outcomeFor(sessions, { $case: "render", value: request }, context);
  const { outcome } = message;
  if (outcome?.$case !== "value" || outcome.value.kind?.$case !== "json") return { text: "", execution: message };
  const text = JSON.parse(outcome.value.kind.value) as string;
  return { text, execution: { ...message, outcome: { $case: "value", value: { kind: undefined } } } };
}
