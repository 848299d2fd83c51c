import { expect, test } from "vitest";
import { moduleName, resolveSpecifier, withoutMark } from "./specifiers.js";

test.each([
  ["util", "main.js", "util"],
  ["lib/util.js", "a/main.js", "lib/util.js"],
  ["/abs.js", "a/main.js", "/abs.js"],
  ["https://x.test/a.js", "main.js", "https://x.test/a.js"],
  ["./util.js", "main.js", "util.js"],
  ["./util.js", "a/b/main.js", "a/b/util.js"],
  ["../util.js", "a/b/main.js", "a/util.js"],
  ["../../util.js", "a/b/main.js", "util.js"],
  ["../util.js", "main.js", "../util.js"],
  ["../util.js", "../a/main.js", "../util.js"],
  ["../util.js", "../main.js", "../../util.js"],
  ["./../c/./d.js", "a/b.js", "c/d.js"],
  ["./util.js", "/srv/main.js", "/srv/util.js"],
  ["../../util.js", "/srv/main.js", "/../util.js"],
  ["./util.js", "https://x.test/a/main.js", "https://x.test/a/util.js"],
  ["../util.js", "file:///srv/a/main.js", "file:///srv/util.js"],
])("%s in %s is %s", (specifier, importer, name) => {
  expect(resolveSpecifier(specifier, importer)).toBe(name);
});

test("a name that a caller gives may begin with ./", () => {
  expect(["./a.js", "./a/../b.js", "a.js"].map(moduleName)).toEqual(["a.js", "b.js", "a.js"]);
});

test("a mark is no part of a name", () => {
  expect(withoutMark("a.js\u2063#12")).toBe("a.js");
  expect(withoutMark("a.js#12")).toBe("a.js#12");
});
