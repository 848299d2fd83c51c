/** The one way of a command from the contract into its session. */
import type { Command as CommandMessage } from "@livescope/proto";
import { invalid } from "../session/errors.js";
import type { CommandOptions, Execution, ExecutionListener } from "../session/execution.js";
import type { Sessions } from "../session/sessions.js";
import { callCommand, executeCommand } from "./commands.js";
import { renderCommand } from "./render.js";
import type { CallContext } from "./unary.js";

export interface Submitted {
  readonly execution: Execution;
  readonly options: CommandOptions;
}

/**
 * Starts an execution. Without a request id nobody can ask again, so it is ended when its caller is gone.
 *
 * @param listener takes what it brings out before it ends
 * @throws SessionError when the command is refused
 */
export async function submit(
  sessions: Sessions,
  { command }: CommandMessage,
  context: CallContext,
  listener?: ExecutionListener,
): Promise<Submitted> {
  sessions.checkNotDraining();
  const submitted = await start(sessions, command, context, listener);
  const { execution, options } = submitted;
  if (options.requestId === "") context.onCancelled(() => execution.cancel());
  return submitted;
}

async function start(
  sessions: Sessions,
  message: CommandMessage["command"],
  context: CallContext,
  listener: ExecutionListener | undefined,
): Promise<Submitted> {
  const heard = (options: CommandOptions): CommandOptions =>
    listener === undefined ? options : { ...options, listener };
  switch (message?.$case) {
    case "execute": {
      const { sessionId } = message.value;
      const { command, options } = executeCommand(message.value, context);
      const execution =
        sessionId === undefined
          ? await sessions.executeAlone(command, heard(options))
          : sessions.get(sessionId).submit(command, heard(options));
      return { execution, options };
    }
    case "call": {
      const { command, options } = callCommand(message.value, context);
      return { execution: sessions.get(message.value.sessionId).submit(command, heard(options)), options };
    }
    case "render": {
      const { command, options } = renderCommand(message.value, context);
      return { execution: sessions.get(message.value.sessionId).submit(command, heard(options)), options };
    }
    default:
      throw invalid("command", "must be set: say what to run");
  }
}
