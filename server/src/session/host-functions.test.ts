import { expect, test } from "vitest";
import { HostFunctions, type HostFunctionsHost, type HostLink } from "./host-functions.js";

/** A stream that notes what it was told. */
class NotingLink implements HostLink {
  isOpen = true;
  readonly told: string[] = [];

  attached(): void {
    this.told.push("attached");
  }

  ended(): void {
    this.told.push("ended");
  }

  call({ callId }: { readonly callId: string }): void {
    this.told.push(`call ${callId}`);
  }

  cancelled(callId: string): void {
    this.told.push(`cancelled ${callId}`);
  }

  released(hostFunctionId: string): void {
    this.told.push(`released ${hostFunctionId}`);
  }
}

function started(): HostFunctions {
  const host: HostFunctionsHost = {
    sessionId: "s",
    hasRoomFor: () => true,
    reply: () => undefined,
    whenKept: (send) => send(),
    callerOf: () => undefined,
  };
  return new HostFunctions(host);
}

const exposing = { connectionId: "c", names: ["f"], takeOver: false, reconnectWindow: 0 };
const calling = (call: string) => ({ call, name: "f", encoding: 0, args: [], locals: new Map() }) as const;

/** Whatever a window of 0 ends has ended then: timers of one length fall due in their order. */
const windowIsOver = () => new Promise((resolve) => setTimeout(resolve, 1));

test("a stream that has ended is not attached: who exposes by it is awaited for as long as it says", async () => {
  const functions = started();
  const gone = new NotingLink();
  gone.isOpen = false;
  expect(functions.expose(exposing, gone)).toEqual(["f"]);
  functions.call(0, calling("1"));
  expect(gone.told).toEqual([]);
  await windowIsOver();
  expect([functions.names, functions.hasClients, functions.areCallsOpen]).toEqual([[], false, false]);
});

test("a stream that has ended does not take the place of the one by which its client is back", async () => {
  const functions = started();
  const [gone, next] = [new NotingLink(), new NotingLink()];
  gone.isOpen = false;
  functions.expose(exposing, next);
  functions.expose(exposing, gone);
  await windowIsOver();
  functions.call(0, calling("1"));
  expect(next.told).toEqual(["attached", "call 1"]);
});
