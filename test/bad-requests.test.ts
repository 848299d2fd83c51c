/** Wrong, hostile and unlucky requests get the status they must, and nobody else notices. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CLIENT_CASES } from "./support/bad-requests/client.js";
import { HANDLE_CASES } from "./support/bad-requests/handle.js";
import { LIMITS_CASES } from "./support/bad-requests/limits.js";
import { SESSION_CASES } from "./support/bad-requests/session.js";
import { SIZE_CASES } from "./support/bad-requests/size.js";
import { SNAPSHOT_CASES } from "./support/bad-requests/snapshot.js";
import { VALUE_CASES } from "./support/bad-requests/value.js";
import { WIRE_CASES } from "./support/bad-requests/wire.js";
import { type BadRequest, World } from "./support/bad-requests/world.js";
import { detailNames } from "./support/raw-http2.js";

/** One line of the corpus. What stands there as prose is carried out by the implementation of the same id. */
interface CorpusCase {
  readonly id: string;
  readonly expect_status: string;
  /** Other statuses that will do. */
  readonly or_status?: readonly string[];
  /** Details that the status must carry, separated by commas. */
  readonly error_detail?: string;
}

const CORPUS = readFileSync(new URL("./corpus/bad_requests.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as CorpusCase);

const IMPLEMENTATIONS = new Map<string, BadRequest>(
  [
    SESSION_CASES,
    HANDLE_CASES,
    SIZE_CASES,
    SNAPSHOT_CASES,
    VALUE_CASES,
    LIMITS_CASES,
    CLIENT_CASES,
    WIRE_CASES,
  ].flatMap((cases) => Object.entries(cases)),
);

let world: World;

beforeAll(async () => {
  world = await World.start();
});

afterAll(() => world[Symbol.asyncDispose]());

test("every bad request of the corpus is sent, and no other", () => {
  expect([...IMPLEMENTATIONS.keys()].sort()).toEqual(CORPUS.map(({ id }) => id).sort());
});

for (const { id, expect_status, or_status = [], error_detail } of CORPUS) {
  const statuses = [expect_status, ...or_status];
  test(`${id} is answered ${statuses.join(" or ")} and nobody else notices`, async () => {
    const badRequest = IMPLEMENTATIONS.get(id);
    if (badRequest === undefined) throw new Error(`${id} has no implementation`);
    const answer = await world.survive(badRequest);
    expect(statuses, `${id} was answered: ${answer.message}`).toContain(answer.status);
    const details = error_detail === undefined ? [] : error_detail.split(", ");
    expect(detailNames(answer)).toEqual(expect.arrayContaining(details));
  });
}
