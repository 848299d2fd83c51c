/** Run: one command, with what it writes and emits while it runs. */
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { Event, RunRequest, RunResponse } from "@livescope/proto";
import type { Logger } from "pino";
import { invalid } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import { toServiceError } from "./status.js";
import { abandon, eventListener, submit } from "./submit.js";
import { deadlineOf, takeRequest } from "./unary.js";
import { executionMessage } from "./values.js";

/** The transport has taken so many emitted values: as many more may leave. */
const CREDIT = 8;

export async function run(
  sessions: Sessions,
  stream: ServerWritableStream<RunRequest, RunResponse>,
  logger: Logger,
): Promise<void> {
  try {
    const { command } = takeRequest(stream);
    if (command === undefined) throw invalid("command", "must be set: say what to run");
    let taken = 0;
    const listener = eventListener(command, (event) => {
      const wasTaken = (): void => {
        if (event.$case === "emitted" && ++taken % CREDIT === 0) execution.allow(CREDIT);
      };
      write(event, wasTaken);
    });
    const submitted = submit(sessions, command, { deadline: deadlineOf(stream) }, listener);
    const { execution, options } = submitted;
    const write = (event: Event["event"], wasTaken?: () => void): void =>
      void stream.write({ event: { executionId: execution.executionId, event } }, wasTaken);
    const cancelled = (): void => abandon(submitted);
    stream.on("cancelled", cancelled);
    const outcome = await execution.outcome;
    stream.off("cancelled", cancelled);
    write({ $case: "finished", value: executionMessage(outcome, options.encoding) });
    stream.end();
  } catch (error) {
    stream.emit("error", toServiceError(error, logger));
  }
}
