/**
 * A request whose message does not arrive is ended by the server: a client that sends half a message and stalls would
 * otherwise hold its stream for ever.
 */
import { status as Code, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";

/** @param milliseconds from the headers to the whole first message */
export function receiveDeadline(milliseconds: number): ServerInterceptor {
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        const timer = setTimeout(() => {
          call.sendStatus({
            code: Code.DEADLINE_EXCEEDED,
            details: `no whole request message arrived within ${milliseconds} ms`,
          });
        }, milliseconds);
        const clear = (): void => clearTimeout(timer);
        next({
          onReceiveMessage: (message, deliver) => {
            clear();
            deliver(message);
          },
          onReceiveHalfClose: (deliver) => {
            clear();
            deliver();
          },
          onCancel: clear,
        });
      },
    });
}
