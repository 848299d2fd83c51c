import { Command, RenderRequest, SandboxServiceService } from "@livescope/proto";
import { LivescopeError } from "./errors.js";
import { writeLimits } from "./limits.js";
import type { RenderOptions } from "./options.js";
import { readOutcome } from "./outcome.js";
import { errorFrom } from "./transport/status.js";
import type { UnaryTransport } from "./transport/unary.js";
import { decodeValue, encodeValues } from "./values.js";

/** The text of a template, or the name of one that the session has. */
export type Template = string | { readonly name: string };

/** Names that a template sees before those of its session, and what they stand for. */
export type RenderContext = Readonly<Record<string, unknown>>;

/** How much longer than the execution's own timeout the end of a stream is waited for, in milliseconds. */
const DEADLINE_GRACE = 1_000;

/** @throws {TypeError} if a value of the context cannot be sent */
export function renderRequest(
  sessionId: string,
  template: Template,
  context: RenderContext,
  { templates, filename, autoescape, limits, timeout }: RenderOptions,
): RenderRequest {
  return RenderRequest.create({
    sessionId,
    template:
      typeof template === "string" ? { $case: "source", value: template } : { $case: "name", value: template.name },
    templates: new Map(Object.entries(templates ?? {})),
    context: encodeValues(context, "context"),
    filename: filename ?? "",
    autoescape,
    limits: writeLimits({ ...limits, timeout }),
  });
}

/** Renders over Run, which gives the text in pieces. */
export async function* renderPieces(
  transport: UnaryTransport,
  sessionId: string,
  template: Template,
  context: RenderContext,
  options: RenderOptions,
): AsyncGenerator<string, void, undefined> {
  const { signal, timeout } = options;
  signal?.throwIfAborted();
  const value = { ...renderRequest(sessionId, template, context, options), stream: true };
  const request = { command: Command.create({ command: { $case: "render", value }, consoleAtEnd: true }) };
  const answerTimeout = timeout === undefined ? undefined : timeout + DEADLINE_GRACE;
  const stream = transport.readable(SandboxServiceService.run, request, answerTimeout);
  const onAbort = (): void => stream.cancel();
  signal?.addEventListener("abort", onAbort);
  try {
    for await (const { event } of stream) {
      if (event?.event?.$case === "emitted") yield decodeValue(event.event.value, refuseHandle) as string;
      if (event?.event?.$case === "finished") return void readOutcome(event.event.value);
    }
    throw new LivescopeError("the answer carries no outcome: is the server newer?");
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof LivescopeError ? error : errorFrom(error);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // Without a request id this ends the execution.
    stream.cancel();
  }
}

function refuseHandle(): never {
  throw new LivescopeError("a piece of the text came as a handle: is the server newer?");
}
