/**
 * Calls by name in a source with bindings, which runs inside `with`. There a function that is called by the name of a binding would be
 * called as a method of the scope object: as `this` it would get all the bindings of that source. And the engine compiles no `f?.()`
 * inside `with`. So such a name is made an expression first: `(0,f)()`.
 */
import type { AnyNode, BlockStatement, Node, Program, StaticBlock } from "acorn";
import { base, recursive, type WalkerCallback } from "acorn-walk";
import type MagicString from "magic-string";
import { marked } from "./locals-transform.js";

/** True inside a `with` of the source's own: there a name may be that of a method. */
type InWith = boolean;

/** Rewrites in place. Other rewrites of the same text come after it. @param bound names of the bindings */
export function rewriteBoundCalls(program: Program, text: MagicString, bound: ReadonlySet<string>): void {
  // A line that ended with no semicolon would go on in a parenthesis.
  const statements = new Set<number>();
  const rewrite = ({ start, end }: Node): void => {
    text.prependRight(start, marked(statements.has(start) ? ";(0," : "(0,"));
    text.appendLeft(end, marked(")"));
  };
  const visitAll = (nodes: readonly AnyNode[], inWith: InWith, visit: WalkerCallback<InWith>): void => {
    for (const node of nodes) {
      if (node.type === "ExpressionStatement") statements.add(node.start);
      visit(node, inWith);
    }
  };
  const list = (node: Program | BlockStatement | StaticBlock, inWith: InWith, visit: WalkerCallback<InWith>): void =>
    visitAll(node.body, inWith, visit);
  recursive<InWith>(program, false, {
    Program: list,
    BlockStatement: list,
    StaticBlock: list,
    SwitchCase: (node, inWith, visit) => {
      if (node.test) visit(node.test, inWith);
      visitAll(node.consequent, inWith, visit);
    },
    WithStatement: (node, inWith, visit) => {
      visit(node.object, inWith);
      visit(node.body, true);
    },
    CallExpression: (node, inWith, visit) => {
      const { callee, optional } = node;
      if (!inWith && callee.type === "Identifier" && (optional || bound.has(callee.name))) rewrite(callee);
      base.CallExpression?.(node, inWith, visit);
    },
    TaggedTemplateExpression: (node, inWith, visit) => {
      const { tag } = node;
      if (!inWith && tag.type === "Identifier" && bound.has(tag.name)) rewrite(tag);
      base.TaggedTemplateExpression?.(node, inWith, visit);
    },
  });
}
