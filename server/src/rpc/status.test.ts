import { status as Code } from "@grpc/grpc-js";
import { ErrorInfo } from "@livescope/proto";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { StoreError, type StoreErrorKind } from "../store/store.js";
import { toStatus } from "./status.js";

function failWith(kind: StoreErrorKind) {
  const lines: string[] = [];
  const logger = pino({ level: "error" }, { write: (line) => lines.push(line) });
  const status = toStatus(new StoreError(kind, "/srv/data/store.db: what is wrong"), logger);
  return { status, log: lines.join("") };
}

describe("a failure of the store", () => {
  test("is RESOURCE_EXHAUSTED when there is no room", () => {
    const { status } = failWith("full");
    expect(status.code).toBe(Code.RESOURCE_EXHAUSTED);
    const [info] = status.details.filter(({ typeUrl }) => typeUrl.endsWith("ErrorInfo"));
    expect(info && ErrorInfo.decode(info.value).reason).toBe("QUOTA_EXCEEDED");
    expect(status.details.some(({ typeUrl }) => typeUrl.endsWith("RetryInfo"))).toBe(true);
  });

  test.each(["busy", "broken"] as const)("is INTERNAL when it is %s", (kind) => {
    expect(failWith(kind).status).toMatchObject({ code: Code.INTERNAL, details: [] });
  });

  test("is DATA_LOSS when what it has of one thing is damaged", () => {
    expect(failWith("damaged").status).toMatchObject({ code: Code.DATA_LOSS, details: [] });
  });

  test.each(["full", "busy", "damaged", "broken"] as const)(
    "is told to the log whole, and not to the client (%s)",
    (kind) => {
      const { status, log } = failWith(kind);
      expect(log).toContain("/srv/data/store.db: what is wrong");
      expect(JSON.stringify(status)).not.toContain("/srv/data");
    },
  );
});
