import { expect, test } from "vitest";
import { OpenCalls } from "./open-calls.js";

test("who finishes them waits for all that are open, and no more are taken", async () => {
  const calls = new OpenCalls();
  for (let i = 0; i < 2; i++) calls.begin();
  expect(() => calls.checkNotOver()).not.toThrow();
  let isOver = false;
  const finished = calls.finish(60_000).then(() => {
    isOver = true;
  });
  expect(() => calls.checkNotOver()).toThrow("stopping");
  calls.end();
  await Promise.resolve();
  expect(isOver).toBe(false);
  calls.end();
  await finished;
  await calls.finish(60_000);
});

test("they are not waited for without end", async () => {
  const calls = new OpenCalls();
  calls.begin();
  await calls.finish(1);
  calls.end();
});
