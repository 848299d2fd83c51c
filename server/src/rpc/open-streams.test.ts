import { expect, test } from "vitest";
import { OpenStreams } from "./open-streams.js";

test("all that are open end, and such as come later end once they are there", async () => {
  const streams = new OpenStreams();
  const ended: string[] = [];
  streams.add(() => ended.push("first"));
  streams.add(() => ended.push("closed before"))();
  streams.endAll();
  expect(ended).toEqual(["first"]);
  streams.add(() => ended.push("late"));
  streams.add(() => ended.push("late and closed"))();
  expect(ended).toEqual(["first"]);
  await Promise.resolve();
  expect(ended).toEqual(["first", "late"]);
});
