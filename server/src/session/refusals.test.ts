import { expect, test } from "vitest";
import { refusalOf } from "./refusals.js";

test("a handle that is not there is told with its session, where there is one", () => {
  const refused = { kind: "refused", execution: 1, reason: "handleNotFound", what: "3" } as const;
  expect(refusalOf(refused, "a").details.ids).toEqual({ session_id: "a", handle_id: "3" });
  expect(refusalOf(refused, "").details.ids).toEqual({ handle_id: "3" });
});
