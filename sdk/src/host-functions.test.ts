import { describe, expect, it } from "vitest";
import { HostFunctions, type HostScope } from "./host-functions.js";
import { Lifetime } from "./lifetime.js";
import type { Connection } from "./transport/connection.js";
import type { Saying } from "./transport/saying.js";

describe("functions lent to many sessions", () => {
  it("are not walked when one session calls, or ends", async () => {
    const answered: string[] = [];
    let frameId = 0;
    const say = ({ frame, sent }: Saying): void => {
      sent?.(++frameId);
      if (frame.$case === "hostResult") answered.push(frame.value.hostCallId);
    };
    const connection = { isOpen: true, serve: () => undefined, checkIdle: () => undefined, say };
    const functions = new HostFunctions(connection as unknown as Connection);
    let looks = 0;
    const client = Lifetime.ofClient();
    const scopes = Array.from({ length: 100 }, (_, i) => ({
      get sessionId() {
        looks++;
        return `session ${i}`;
      },
      lifetime: Lifetime.ofSession(`${i}`, client),
      presence: { note: () => undefined, explain: (error: unknown) => error },
      session: {},
    })) as unknown as HostScope[];
    const exposures = scopes.map((scope) => functions.expose(scope, { where: () => scope.sessionId }, {}));
    for (let id = 1n; id <= 100n; id++) {
      functions.hear({
        frameId: id,
        frame: { $case: "exposed", value: { sessionId: "", names: ["where"], connectionId: "" } },
      });
    }
    const ended = (await Promise.all(exposures)).map((exposure) => exposure.ended);

    looks = 0;
    const call = {
      hostCallId: "call",
      sessionId: "session 99",
      executionId: "",
      function: { hostFunctionId: "", name: "where" },
      args: [],
      locals: new Map(),
    };
    functions.hear({ frameId: 0n, frame: { $case: "hostCall", value: call } });
    await expect.poll(() => answered).toEqual(["call"]);
    functions.forget(scopes[98] as HostScope, true);
    await ended[98];
    functions.hear({
      frameId: 98n,
      frame: { $case: "status", value: { code: 10, message: "it was deleted", details: [] } },
    });
    await ended[97];
    expect(looks).toBeLessThan(20);
  });
});
