import { Script } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileTemplate } from "./template.js";

describe("templates of any shape", () => {
  const code = fc.constantFrom(
    "a",
    "b.c",
    "await a",
    "{ x: 1 }",
    "(x) => x",
    "'}}'",
    "`%}`",
    "/}}/",
    "a // c",
    "a /* }} */",
    "[1]",
  );
  const name = fc.constantFrom("x", "a", "[p, q]", "{ r, s = a }", "k, v", "of", "await x");
  const set = fc.constantFrom(
    "a = 1",
    "x = x",
    "n = n + 1",
    "[a, b] = o",
    "o.p = 1",
    "[o.p, z] = y",
    "a = 1, b = a",
    "x = y = 2",
  );
  const text = fc.constantFrom(
    "text",
    " \n ",
    "{!",
    "}}",
    "{{!",
    "{# c #}",
    "\\",
    "`",
    "\u2028",
    "\u{1F600}",
    "{% include i %}",
    "{% autoescape f %}",
  );
  const { body } = fc.letrec<{ body: string; node: string }>((tie) => {
    const inner = tie("body");
    const maybe = (head: string) =>
      fc.option(
        inner.map((part) => head + part),
        { nil: "" },
      );
    const joined = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((all) => all.join(""));
    const tag = (word: string, rest: fc.Arbitrary<string>) => rest.map((what) => `{% ${word} ${what} %}`);
    const end = fc.constant("{% end %}");
    return {
      body: fc.array(tie("node"), { maxLength: 3 }).map((nodes) => nodes.join("")),
      node: fc.oneof(
        { maxDepth: 4 },
        text,
        code.map((what) => `{{ ${what} }}`),
        tag("set", set),
        joined(tag("if", code), inner, maybe("{% elif a %}"), maybe("{% else %}"), end),
        joined(
          tag(
            "for",
            fc.tuple(name, code).map(([of, list]) => `${of} of ${list}`),
          ),
          inner,
          maybe("{% break %}"),
          maybe("{% else %}"),
          end,
        ),
        joined(tag("while", code), inner, maybe("{% continue %}"), end),
        joined(
          fc.constant("{% try %}"),
          inner,
          maybe("{% except A, B as e %}"),
          fc.constant("{% except as a %}"),
          inner,
          maybe("{% else %}"),
          maybe("{% finally %}"),
          end,
        ),
        joined(tag("block", fc.constantFrom("p", "q")), inner, end),
        joined(tag("apply", code), inner, end),
      ),
    };
  });

  test("become code that parses", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), body, body, (extend, streams, own, other) => {
        const root = { name: "t", text: (extend ? "{% extends i %}" : "") + own };
        const templates = new Map([["i", other.replaceAll("{% include i %}", "")]]);
        const compiled = compileTemplate({ root, context: ["a", "o"], escapes: true, streams, templates });
        if (compiled.kind === "compiled") return void new Script(compiled.source);
        expect(compiled).toMatchObject({ message: "The template i contains itself" });
      }),
      { numRuns: 500 },
    );
  });
});
