/**
 * Renders templates inside the session: keeps named ones and compiled functions, and is what compiled functions call. Loaded
 * with the first template.
 *
 * It runs after guest code may have broken whatever it could reach, so it uses what the kernel captured, by the rules of
 * ../intrinsics.ts.
 */
import { type Execution, fail, finish, Phase } from "../executions.js";
import { StopCause, stopTurn } from "../host.js";
import { compileTemplate } from "../host-asks.js";
import {
  apply,
  defineProperty,
  getOwnPropertyDescriptor,
  jsonParse,
  KernelSyntaxError,
  SafeMap,
  stringify,
} from "../intrinsics.js";
import { globalObject } from "../names.js";
import { EffectKind, emitEffect } from "../protocol.js";
import { custom, escapeHtml, piece, rest, text, wellFormed } from "./template-runtime/escaping.js";
import { list } from "./template-runtime/list.js";
import { forget, type Kept, keep, placesText, type SiteEntry, stackOf } from "./template-runtime/places.js";
import { type RenderRequest, readRenderRequest, templates } from "./template-runtime/request.js";

export { withTemplatePlaces } from "./template-runtime/places.js";

/**
 * Compiled templates that a session keeps, and UTF-16 units of their texts, of the code that they became and of what is told of
 * it; beyond, the oldest are forgotten.
 */
const MOST_COMPILED = 200;
const MOST_TEXT = 2_097_152;
/** As many as an execution carries. Mirrored in compile/template-composition.ts. */
const MOST_WARNINGS = 100;

/** Text, site, line and column of what is no error, or of a name that is declared. */
type Note = readonly [text: string, site: number, line: number, column: number];

interface Compiled extends Kept {
  readonly key: string;
  readonly render: (...values: unknown[]) => unknown;
  /** Names of the templates in it that the session knows by name, and the text that each had. */
  readonly names: readonly string[];
  readonly texts: readonly string[];
  readonly warnings: readonly Note[];
  readonly declared: readonly Note[];
  readonly size: number;
}

const compiled = new SafeMap<string, Compiled>();
/** Of all that is kept, also of what is not found any more. */
let size = 0;
/** Numbers of compiled templates, which their file names carry. */
let oldest = 1;
let next = 1;

/**
 * Renders the template of an input for an execution.
 *
 * @param readValue reads a value of the input
 * @param refuse throws: the session has no template of this name
 */
export function render(
  execution: Execution,
  readValue: (field: string) => unknown,
  refuse: (name: string) => never,
): void {
  const request = readRenderRequest(execution.options.valueBytes, readValue, refuse);
  let run: () => unknown;
  try {
    run = prepare(execution.number, request);
  } catch (error) {
    return fail(execution, Phase.PARSE, error);
  }
  let result: unknown;
  try {
    result = run();
  } catch (error) {
    return fail(execution, Phase.EVALUATE, error);
  }
  finish(execution, result);
}

/**
 * Compiles the template if it is not compiled already, and tells of its warnings.
 *
 * @param execution number of the one that is warned
 * @returns what renders it
 * @throws SyntaxError with the place in the template as its stack
 */
function prepare(execution: number, request: RenderRequest): () => unknown {
  const template = compiledTemplate(request);
  const { warnings, declared } = template;
  let left = MOST_WARNINGS;
  const warn = (message: string, note: Note): void => {
    const stack = placesText(template, note[1], note[2], note[3]);
    const text = `{"message":${stringify(message)},"stack":${stringify(stack)}}`;
    emitEffect(EffectKind.TEMPLATE_WARNING, execution, 0, text);
    left--;
  };
  for (let i = 0; i < warnings.length; i++) {
    const warning = warnings[i] as Note;
    warn(warning[0], warning);
  }
  for (let i = 0; i < declared.length && left > 0; i++) {
    const note = declared[i] as Note;
    const name = note[0];
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || known.enumerable !== true) continue;
    warn(`shadowed name ${name}: the template declares it, and hides the one of the session`, note);
  }
  return () => apply(template.render, globalObject, parameters(request));
}

/** In the order of compile/template-generator.ts. */
function parameters({ most, values }: RenderRequest): unknown[] {
  const given = list<unknown>();
  given[0] = escapeHtml;
  given[1] = text;
  given[2] = custom;
  given[3] = tooLarge;
  given[4] = wellFormed;
  given[5] = most;
  given[6] = piece;
  given[7] = rest;
  for (let i = 0; i < values.length; i++) given[8 + i] = values[i];
  return given;
}

function tooLarge(): void {
  stopTurn(StopCause.VALUE_SIZE);
}

function compiledTemplate(request: RenderRequest): Compiled {
  const key = keyOf(request);
  const known = compiled.get(key);
  if (known !== undefined) {
    if (isCurrent(known)) return known;
    drop(known);
  }
  const template = compile(key, request);
  compiled.set(key, template);
  return template;
}

/** Keeps a template by a number, and forgets the oldest first: a turn that finds no room for one is undone, with what it forgot. */
function enter(template: Compiled): number {
  const number = next++;
  size += template.size;
  for (; oldest < number && (next - oldest > MOST_COMPILED || size > MOST_TEXT); oldest++) {
    const old = forget(oldest) as Compiled;
    size -= old.size;
    drop(old);
  }
  keep(number, template);
  return number;
}

/** It is not found any more; functions made in it keep their places until it is forgotten. */
function drop(template: Compiled): void {
  if (compiled.get(template.key) === template) compiled.delete(template.key);
}

/** No name is empty or has a line break. */
function keyOf({ source, name, names, escapes, streams }: RenderRequest): string {
  let key = (escapes ? "e" : "-") + (streams ? "s" : "-");
  for (let i = 0; i < names.length; i++) key += `,${names[i]}`;
  return key + (source === undefined ? `\n\n${name}` : `\n${name}\n${source}`);
}

function isCurrent({ names, texts }: Compiled): boolean {
  for (let i = 0; i < names.length; i++) {
    if (templates.get(names[i] as string) !== texts[i]) return false;
  }
  return true;
}

/** What the host answers: see compile/template.ts. */
type Answer =
  | { readonly kind: "missing"; readonly names: readonly string[] }
  | { readonly kind: "refused"; readonly message: string; readonly places: readonly Place[] }
  | {
      readonly kind: "compiled";
      /** UTF-16 units of the code. */
      readonly length: number;
      readonly map: string;
      readonly sites: readonly SiteEntry[];
      readonly files: readonly string[];
      readonly warnings: readonly Note[];
      readonly declared: readonly Note[];
    };
type Place = readonly [file: string, line: number, column: number];

function compile(key: string, request: RenderRequest): Compiled {
  const { source, name } = request;
  const names = list<string>();
  const texts = list<string>();
  if (source === undefined) {
    names[0] = name;
    texts[0] = templates.get(name) as string;
  }
  const root = source ?? (texts[0] as string);
  const textOf = (file: string): string | undefined => (file === name ? root : templates.get(file));
  const head = `[${stringify(name)},${stringify(root)},${namesText(request.names)}`;
  const flags = (request.escapes ? ",true" : ",false") + (request.streams ? ",true" : ",false");
  let supplied = "";
  for (;;) {
    const question = `${head + flags},[${supplied}]]`;
    const told = compileTemplate(question, 0) as string;
    const answer = jsonParse(told) as Answer;
    if (answer.kind === "missing") {
      for (let i = 0; i < answer.names.length; i++) {
        const wanted = answer.names[i] as string;
        const found = templates.get(wanted);
        supplied += `${(supplied === "" ? "[" : ",[") + stringify(wanted)},`;
        supplied += `${found === undefined ? "null" : stringify(found)}]`;
        if (found === undefined) continue;
        names[names.length] = wanted;
        texts[texts.length] = found;
      }
      continue;
    }
    if (answer.kind === "refused") throw refusal(answer.message, answer.places, textOf);
    const { map, sites, files, warnings, declared } = answer;
    const sources = list<string>();
    for (let i = 0; i < files.length; i++) sources[i] = textOf(files[i] as string) ?? "";
    const template = {
      ...{ key, names, texts, warnings, declared, map, sites, files, sources },
      size: question.length + answer.length + told.length,
      render: undefined as unknown as Compiled["render"],
    };
    // Known before it runs: the engine may still find it wrong.
    template.render = compileTemplate(question, enter(template)) as Compiled["render"];
    return template;
  }
}

function namesText(names: readonly string[]): string {
  let json = "";
  for (let i = 0; i < names.length; i++) json += (i === 0 ? "" : ",") + stringify(names[i] as string);
  return `[${json}]`;
}

function refusal(message: string, places: readonly Place[], textOf: (file: string) => string | undefined): unknown {
  const error = new KernelSyntaxError(message);
  defineProperty(error, "stack", {
    __proto__: null,
    value: stackOf(places, textOf),
    writable: true,
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
  return error;
}
