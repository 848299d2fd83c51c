/** What a parsed template consists of. Offsets count UTF-16 units of the template's text from 0. */

/** A piece of JavaScript out of a template, verbatim. */
export interface Code {
  readonly text: string;
  readonly offset: number;
}

/** How `{{ }}` prints: as the request says, as it is, or through a function of the author's. */
export type Escaping = "default" | "none" | Code;

export interface Branch {
  /** Undefined for what is left. */
  readonly condition: Code | undefined;
  readonly body: readonly TemplateNode[];
}

/** One assignment of a `{% set %}`. */
export interface Assignment {
  /** What stands left of `=`; undefined where nothing is declared, as in `{% set list.length = 0 %}`. */
  readonly target: Code | undefined;
  /** Names that the target assigns. */
  readonly names: readonly string[];
  /** True when the target has nothing but names, and so can be declared. */
  readonly isPattern: boolean;
  /** What stands right of it, or the whole of what has no target. */
  readonly value: Code;
  /** Names that have to be the template's already, as of `n += 1`. */
  readonly changed: readonly string[];
}

/** One `{% except %}`. */
export interface Handler {
  /** Classes that it takes; empty for all. */
  readonly classes: readonly Code[];
  readonly name: string | undefined;
  readonly offset: number;
  readonly body: readonly TemplateNode[];
}

export interface ForNode {
  readonly kind: "for";
  readonly offset: number;
  readonly target: Code;
  readonly names: readonly string[];
  readonly isAsync: boolean;
  readonly iterable: Code;
  readonly body: readonly TemplateNode[];
  /** Run unless the loop was left by `{% break %}`. */
  readonly otherwise: readonly TemplateNode[] | undefined;
}

export interface TryNode {
  readonly kind: "try";
  readonly body: readonly TemplateNode[];
  readonly handlers: readonly Handler[];
  readonly otherwise: readonly TemplateNode[] | undefined;
  readonly last: readonly TemplateNode[] | undefined;
}

export interface BlockNode {
  readonly kind: "block";
  readonly name: string;
  readonly offset: number;
  readonly body: readonly TemplateNode[];
}

export interface IncludeNode {
  readonly kind: "include";
  readonly name: string;
  readonly offset: number;
}

export type TemplateNode =
  | { readonly kind: "text"; readonly text: string; readonly offset: number }
  | { readonly kind: "print"; readonly value: Code; readonly escaping: Escaping }
  | { readonly kind: "if"; readonly branches: readonly Branch[] }
  | ForNode
  | {
      readonly kind: "while";
      readonly condition: Code;
      readonly body: readonly TemplateNode[];
      readonly otherwise: readonly TemplateNode[] | undefined;
    }
  | { readonly kind: "break" | "continue"; readonly offset: number }
  | { readonly kind: "set"; readonly assignments: readonly Assignment[]; readonly offset: number }
  | TryNode
  | BlockNode
  | IncludeNode
  | {
      readonly kind: "apply";
      readonly callee: Code;
      readonly isAwaited: boolean;
      readonly body: readonly TemplateNode[];
    };

export interface ParsedTemplate {
  readonly text: string;
  readonly body: readonly TemplateNode[];
  readonly extended: IncludeNode | undefined;
  /** Its blocks and what it includes, wherever they stand in it, in order. */
  readonly parts: readonly (BlockNode | IncludeNode)[];
}

/** The template does not parse; the place is in its own text. */
export class TemplateSyntaxError extends Error {
  override readonly name = "TemplateSyntaxError";

  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(message);
  }
}

/** A place of the node's, to point at. */
export function offsetOf(node: TemplateNode): number {
  switch (node.kind) {
    case "print":
      return node.value.offset;
    case "if":
      return node.branches[0]?.condition?.offset ?? 0;
    case "while":
      return node.condition.offset;
    case "apply":
      return node.callee.offset;
    case "try":
      return node.body[0] === undefined ? 0 : offsetOf(node.body[0]);
    default:
      return node.offset;
  }
}
