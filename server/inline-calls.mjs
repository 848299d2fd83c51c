/**
 * Puts functions where they are called, for a script of which every session carries each function: those that are about as
 * short as a call, and those that are called once. Their code stands there, and no function that a turn would have to make.
 */
import { parse } from "acorn";
import { fullAncestor } from "acorn-walk";
import MagicString from "magic-string";

/** Characters of an expression that may stand wherever its function was called. */
const SHORT = 60;

/**
 * @param code a script that may end in a `return`; no name below its top is that of one at its top
 * @returns the same, with calls replaced until no more can be
 */
export function withInlinedCalls(code) {
  for (let text = withInlinedNumbers(code); ; ) {
    const next = inlineOne(text);
    if (next === undefined) return text;
    text = next;
  }
}

/** A number takes less as itself than as a variable that closures hold. */
function withInlinedNumbers(code) {
  const program = parse(code, { ecmaVersion: "latest", allowReturnOutsideFunction: true });
  const numbers = new Map();
  const assigned = new Set();
  for (const { type, declarations } of program.body) {
    if (type !== "VariableDeclaration") continue;
    for (const { id, init } of declarations) if (typeof init?.value === "number") numbers.set(id.name, init.raw);
  }
  const places = [];
  fullAncestor(program, (node, _state, ancestors, type) => {
    if (node.type !== "Identifier" || !numbers.has(node.name)) return;
    const parent = ancestors.at(-2);
    if (type !== "VariablePattern" && parent.type !== "UpdateExpression" && !parent.shorthand) places.push(node);
    else if (parent.type !== "VariableDeclarator" || ancestors.length > 4) assigned.add(node.name);
  });
  const edited = new MagicString(code);
  for (const { name, start, end } of places) {
    if (!assigned.has(name)) edited.overwrite(start, end, numbers.get(name));
  }
  return edited.toString();
}

/** Replaces calls of one function: others may lie within them. */
function inlineOne(code) {
  const { functions, uses, assigned } = survey(
    parse(code, { ecmaVersion: "latest", allowReturnOutsideFunction: true }),
  );
  for (const [name, { node, names }] of functions) {
    const all = uses.get(name) ?? [];
    const params = node.params.map((param) => param.name);
    const isRecursive = names.some((it) => it.name === name);
    if (isRecursive || node.params.some(({ type }) => type !== "Identifier")) continue;
    const callee = { code, node, names, params, assigned };
    const edited = new MagicString(code);
    let replaced = 0;
    for (const use of all) {
      const text = use.call === undefined ? undefined : replacement(callee, use, all.length === 1);
      if (text === undefined) continue;
      edited.overwrite(use.place.start, use.place.end, text);
      replaced++;
    }
    if (replaced === 0) continue;
    if (replaced === all.length) edited.remove(node.start, node.end);
    return edited.toString();
  }
  return undefined;
}

/** Top-level functions with the names in them, where they are used, and which names are assigned to. */
function survey(program) {
  const functions = new Map();
  const uses = new Map();
  const top = new Set();
  const assigned = new Set();
  for (const node of program.body) {
    for (const { id } of node.declarations ?? [node]) if (id) top.add(id.name);
    const isPlain = node.type === "FunctionDeclaration" && !node.async && !node.generator;
    if (isPlain) functions.set(node.id.name, { node, names: [] });
  }
  const bound = new Set();
  fullAncestor(program, (node, _state, ancestors, type) => {
    const within = functions.get(ancestors[1]?.id?.name);
    if (/^This|^Meta|^Super|^Await|^Yield/.test(node.type) || node.name === "arguments") bound.add(within);
    if (node.type !== "Identifier" || node === ancestors[1].id) return;
    const parent = ancestors.at(-2);
    const isTarget = type === "VariablePattern";
    const isAssigned = isTarget ? parent.type === "AssignmentExpression" : parent.type === "UpdateExpression";
    const isDeclared = isTarget && !isAssigned;
    const isBelow = ancestors.some((it) => /Function|^Block|^Class|^For|^Catch/.test(it.type));
    if (isDeclared && isBelow && top.has(node.name)) throw new Error(`${node.name} hides what is at the top`);
    if (isAssigned) assigned.add(node.name);
    const isShorthand = parent.type === "Property" && parent.shorthand;
    within?.names.push({ name: node.name, node, isDeclared, isAssigned, isShorthand });
    if (!functions.has(node.name) || isTarget) return;
    const isCall = parent.type === "CallExpression" && parent.callee === node && !parent.optional;
    const call = isCall ? parent : undefined;
    const list = uses.get(node.name) ?? [];
    list.push({ call, place: call ?? node, statement: ancestors.at(-3), within });
    uses.set(node.name, list);
  });
  for (const [name, entry] of functions) if (bound.has(entry)) functions.delete(name);
  return { functions, uses, assigned };
}

/** @returns what stands in place of a call; undefined where the call has to stay */
function replacement(callee, use, isOnlyUse) {
  const { node, params } = callee;
  const args = use.call.arguments;
  if (args.length > params.length || args.some(({ type }) => type === "SpreadElement")) return undefined;
  const [only, ...more] = node.body.body;
  const isExpression = more.length === 0 && (only?.type === "ReturnStatement" || only?.type === "ExpressionStatement");
  const expression = isExpression ? (only.argument ?? only.expression) : undefined;
  if (expression !== undefined && (isOnlyUse || expression.end - expression.start <= SHORT)) {
    const text = asExpression(callee, args, expression);
    if (text !== undefined) return only.type === "ReturnStatement" ? `(${text})` : `(${text},void 0)`;
  }
  return isOnlyUse ? asBlock(callee, use, args) : undefined;
}

/** An argument that means the same wherever in the expression it stands, and however often. */
function isFixed({ type, name, object, computed }, assigned) {
  if (type === "Identifier") return !assigned.has(name);
  return type === "Literal" || (type === "MemberExpression" && !computed && isFixed(object, assigned));
}

function asExpression({ code, names, params, assigned }, args, expression) {
  const original = code.slice(expression.start, expression.end);
  if (/=>|function/.test(original) || names.some((it) => it.isAssigned && params.includes(it.name))) return undefined;
  const places = names.filter((it) => !it.isDeclared && params.includes(it.name));
  if (!args.every((it) => isFixed(it, assigned))) {
    // All of them are evaluated, in their order, before anything happens.
    const isInOrder = places.length === params.length && places.every((it, i) => it.name === params[i]);
    const before = isInOrder && code.slice(expression.start, places.at(-1).node.start);
    const isPlain = isInOrder && args.length === params.length && !/\?|&&|\|\||\)/.test(before);
    if (!isPlain || /\+\+|--|[^=!<>]=[^=]/.test(original)) return undefined;
  }
  if (names.some((it) => it.isDeclared && !params.includes(it.name))) return undefined;
  const edited = new MagicString(original);
  for (const { name, node, isShorthand } of places) {
    const argument = args[params.indexOf(name)];
    const text = argument === undefined ? "void 0" : `(${code.slice(argument.start, argument.end)})`;
    edited.overwrite(
      node.start - expression.start,
      node.end - expression.start,
      isShorthand ? `${name}:${text}` : text,
    );
  }
  return edited.toString();
}

/** For a call that is a statement, or what a `return` gives: the statement becomes a block. */
function asBlock({ code, node, names, params }, use, args) {
  const { statement } = use;
  const isReturned = statement.type === "ReturnStatement";
  if (use.within === undefined || !(isReturned || statement.type === "ExpressionStatement")) return undefined;
  if (!isReturned && /\breturn\b/.test(code.slice(node.body.start, node.body.end))) return undefined;
  let bindings = "";
  for (const [i, name] of params.entries()) {
    const argument = args[i];
    const text = argument === undefined ? "void 0" : code.slice(argument.start, argument.end);
    if (text === name && !names.some((it) => it.name === name && it.isAssigned)) continue;
    if (args.some((it) => new RegExp(`\\b${name}\\b`).test(code.slice(it.start, it.end)))) return undefined;
    bindings += `let ${name}=${text};`;
  }
  use.place = statement;
  return `{${bindings}${code.slice(node.body.start, node.body.end)}${isReturned ? "return" : ""}}`;
}
