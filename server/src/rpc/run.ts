/** Run: one command, with what it writes and emits while it runs. */
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { Event, RunRequest, RunResponse } from "@livescope/proto";
import type { Logger } from "pino";
import { invalid } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import { toServiceError } from "./status.js";
import { submit } from "./submit.js";
import { contextOf } from "./unary.js";
import { consoleMessage, executionMessage, valueMessage } from "./values.js";

/** The transport has taken so many emitted values: as many more may leave. */
const CREDIT = 8;

export async function run(
  sessions: Sessions,
  stream: ServerWritableStream<RunRequest, RunResponse>,
  logger: Logger,
): Promise<void> {
  try {
    const { command } = stream.request;
    if (command === undefined) throw invalid("command", "must be set: say what to run");
    let executionId = "";
    let taken = 0;
    const write = (event: Event["event"], written?: () => void): void =>
      void stream.write({ event: { executionId, event } }, written);
    const { execution, options } = await submit(sessions, command, contextOf(stream), {
      console: (entry) => write({ $case: "console", value: consoleMessage(entry) }),
      emitted: (value) =>
        write({ $case: "emitted", value: valueMessage(value, options.encoding) }, () => {
          if (++taken % CREDIT === 0) execution.allow(CREDIT);
        }),
    });
    executionId = execution.executionId;
    const outcome = await execution.outcome;
    write({ $case: "finished", value: executionMessage(outcome, options.encoding) });
    stream.end();
  } catch (error) {
    stream.emit("error", toServiceError(error, logger));
  }
}
