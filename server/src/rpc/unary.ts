/** Turns a function from request to response into a gRPC handler. */
import type { handleUnaryCall, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { deadlineAt } from "../session/deadline.js";
import type { Serving } from "./serving.js";
import { toServiceError } from "./status.js";

/** What a handler may know of the call it serves. */
export interface CallContext {
  /** As `deadlineOf` has it. */
  readonly deadline: number;
  /**
   * Runs `listener` when the caller cancels, vanishes, or its deadline passes.
   *
   * @returns forgets it: the call lives until its client has taken the answer, and so would all that the listener knows of
   */
  onCancelled(listener: () => void): () => void;
}

export type Handler<Request, Response> = (request: Request, context: CallContext) => Promise<Response> | Response;

export function unary<Request, Response>(
  handler: Handler<Request, Response>,
  serving: Pick<Serving, "openCalls" | "logger">,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const request = takeRequest(call);
    void answer(() => handler(request, contextOf(call)), callback, serving);
  };
}

/** The request, which the call keeps no more: it lives until its client has taken the answer. */
export function takeRequest<Request>(call: { request: Request }): Request {
  const { request } = call;
  call.request = undefined as Request;
  return request;
}

/** Answers a call with what `work` gives. */
export async function answer<Response>(
  work: () => Promise<Response> | Response,
  callback: sendUnaryData<Response>,
  { openCalls, logger }: Pick<Serving, "openCalls" | "logger">,
): Promise<void> {
  openCalls.begin();
  try {
    openCalls.checkNotOver();
    callback(null, await work());
  } catch (error) {
    callback(toServiceError(error, logger));
  } finally {
    openCalls.end();
  }
}

/** Whether the caller is gone, and nobody can ask again since it gave no request id: what was made has to go with the call. */
export function isUnheard({ onCancelled }: CallContext, requestId: string): () => boolean {
  let isCancelled = false;
  onCancelled(() => {
    isCancelled = true;
  });
  return () => isCancelled && requestId === "";
}

/** What a handler may know of a call that the gRPC library gave it. */
export function contextOf(call: Pick<ServerUnaryCall<unknown, unknown>, "getDeadline" | "on" | "off">): CallContext {
  return {
    deadline: deadlineOf(call),
    onCancelled: (listener) => {
      call.on("cancelled", listener);
      return () => void call.off("cancelled", listener);
    },
  };
}

/** As `deadlineAt` gives it; Infinity when the caller set none. */
export function deadlineOf(call: Pick<ServerUnaryCall<unknown, unknown>, "getDeadline">): number {
  const deadline = call.getDeadline();
  return deadlineAt(typeof deadline === "number" ? deadline : deadline.getTime());
}
