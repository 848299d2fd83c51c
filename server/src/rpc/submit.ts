/** The one way of a command from the contract into its session. */
import {
  type Command as CommandMessage,
  Encoding,
  type Event,
  type Execution as ExecutionMessage,
} from "@livescope/proto";
import { hasPassed } from "../session/deadline.js";
import { invalid, SessionError } from "../session/errors.js";
import type { CommandOptions, Execution, ExecutionListener } from "../session/execution.js";
import type { HostLink } from "../session/lending.js";
import type { Sessions } from "../session/sessions.js";
import { callCommand, executeCommand } from "./commands.js";
import { renderCommand } from "./render.js";
import type { CallContext } from "./unary.js";
import { consoleMessage, executionMessage, valueMessage } from "./values.js";

export interface Submitted {
  readonly execution: Execution;
  readonly options: CommandOptions;
}

/** More than any execution emits: what nobody takes any more is let go without waiting. */
const NO_END_OF_CREDIT = 2 ** 30;

/**
 * Starts an execution. Its session has it when this returns, so what is submitted in one tick goes to the engine together.
 *
 * @param listener takes what it brings out before it ends
 * @param link by which the functions of the client are called that the command carries; absent where it may carry none
 * @throws SessionError when the command is refused
 */
export function submit(
  sessions: Sessions,
  { command, dropEmitted = false }: Pick<CommandMessage, "command"> & Partial<CommandMessage>,
  context: Pick<CallContext, "deadline">,
  listener?: ExecutionListener,
  link?: HostLink,
): Submitted {
  // Nobody waits for the answer, so nothing is to happen.
  if (hasPassed(context.deadline)) {
    throw new SessionError("DEADLINE_PASSED", "the deadline had passed when the request arrived; nothing ran");
  }
  const ids: string[] | undefined = link === undefined ? undefined : [];
  const heard = (options: CommandOptions): CommandOptions => {
    const passed = link === undefined || ids === undefined || ids.length === 0 ? undefined : { ids, link };
    return listener === undefined && passed === undefined ? options : { ...options, listener, passed };
  };
  switch (command?.$case) {
    case "execute": {
      const { sessionId } = command.value;
      const { command: checked, options } = executeCommand(command.value, context, ids);
      const execution =
        sessionId === undefined
          ? sessions.executeAlone(checked, heard(options))
          : sessions.submit(sessionId, checked, heard(options));
      return { execution, options };
    }
    case "call": {
      const { command: checked, options } = callCommand(command.value, context, ids);
      return { execution: sessions.submit(command.value.sessionId, checked, heard(options)), options };
    }
    case "render": {
      // The pieces of the text are made as they are taken, and would be no text without.
      if (command.value.stream && dropEmitted) {
        throw invalid("stream", "sends what drop_emitted asks to drop; leave one of them out");
      }
      const { command: checked, options } = renderCommand(command.value, context, ids);
      return { execution: sessions.submit(command.value.sessionId, checked, heard(options)), options };
    }
    default:
      throw invalid("command", "must be set: say what to run");
  }
}

/** The outcome of a command that has one caller, who may go before. */
export async function outcomeFor(
  sessions: Sessions,
  command: CommandMessage["command"],
  context: CallContext,
): Promise<ExecutionMessage> {
  const submitted = submit(sessions, { command }, context);
  const forget = context.onCancelled(() => abandon(submitted));
  const { execution, options } = submitted;
  try {
    return executionMessage(await execution.outcome, options.encoding);
  } finally {
    forget();
  }
}

/** The caller is gone. Without a request id nobody can ask again, so the execution is ended; with one it goes on unheard. */
export function abandon({ execution, options }: Submitted): void {
  if (options.requestId === "") execution.cancel();
  else execution.allow(NO_END_OF_CREDIT);
}

/**
 * A listener that makes events of the contract, as the command asks for them.
 *
 * @param say takes them; an emitted value costs credit
 */
export function eventListener(
  { command, consoleAtEnd, dropEmitted }: CommandMessage,
  say: (event: NonNullable<Event["event"]>) => void,
): ExecutionListener | undefined {
  if (consoleAtEnd && dropEmitted) return undefined;
  const encoding = command?.$case === "render" ? Encoding.JSON : (command?.value.encoding ?? Encoding.UNSPECIFIED);
  const listener: ExecutionListener = {
    console: (entry) => say({ $case: "console", value: consoleMessage(entry) }),
    emitted: (value) => say({ $case: "emitted", value: valueMessage(value, encoding) }),
  };
  if (consoleAtEnd) return { emitted: listener.emitted };
  return dropEmitted ? { console: listener.console } : listener;
}
