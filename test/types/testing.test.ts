/** The SDK names what it uses of the server, and does not build on it. Nothing here is run: `npm run types` checks it. */
import { expectTypeOf, test } from "vitest";
import type { ServerPackage } from "../../sdk/src/testing.js";

test("the server's package is what the test server takes it for", () => {
  expectTypeOf<typeof import("@livescope/server")>().toExtend<ServerPackage>();
});
