/** The kernel's side of templates: reads what is to be rendered, and gives the library that renders it what it may use. */
import type { Execution } from "./executions.js";
import { compileTemplate, isPromise, StopCause, stopTurn } from "./host.js";
import {
  apply,
  defineProperty,
  getOwnPropertyDescriptor,
  indexOf,
  isWellFormed,
  jsonParse,
  KernelString,
  KernelSyntaxError,
  KernelTypeError,
  regexpExec,
  SafeMap,
  setPrototypeOf,
  slice,
  stringify,
  toWellFormed,
} from "./intrinsics.js";
import { lazy } from "./libraries.js";
import { EffectKind, emitEffect, readNumber, readOptionalText, readText } from "./protocol.js";

/** What the library is given of the kernel. */
const captured = {
  apply,
  compileTemplate,
  defineProperty,
  getOwnPropertyDescriptor,
  indexOf,
  isPromise,
  isWellFormed,
  jsonParse,
  KernelString,
  KernelSyntaxError,
  KernelTypeError,
  regexpExec,
  SafeMap,
  setPrototypeOf,
  slice,
  stringify,
  tooLarge: (): void => stopTurn(StopCause.VALUE_SIZE),
  toWellFormed,
};
export type Captured = typeof captured;

/** A template to be rendered. */
export interface RenderRequest {
  /** Undefined for a template that the session knows by its name. */
  readonly source: string | undefined;
  readonly name: string;
  readonly escapes: boolean;
  readonly streams: boolean;
  /** Of the context, by the same index. */
  readonly names: readonly string[];
  readonly values: readonly unknown[];
  /** The most UTF-16 units of its text. */
  readonly most: number;
}

/** The exports of library/template-runtime.ts. */
interface TemplateRuntime {
  connect(given: Captured): void;
  hasTemplate(name: string): boolean;
  addTemplate(name: string, source: string): void;
  prepareTemplate(request: RenderRequest, warn: (message: string, stack: string) => void): () => unknown;
  withTemplatePlaces(stack: string): string;
}

const load = lazy<TemplateRuntime>("template-runtime");
let isConnected = false;

function runtime(): TemplateRuntime {
  const library = load();
  if (!isConnected) library.connect(captured);
  isConnected = true;
  return library;
}

const ESCAPES = 1;
const STREAMS = 2;

/**
 * Reads what is to be rendered, and adds the templates that came with it to the session's.
 *
 * @param readValue reads a value of the input
 * @param refuse throws: the session has no template of this name
 */
export function readRenderRequest(
  { valueBytes }: Execution,
  readValue: (field: string) => unknown,
  refuse: (name: string) => never,
): RenderRequest {
  const flags = readNumber();
  const sourceText = readOptionalText();
  const name = readText();
  const added = readPairs(readText);
  const context = readPairs((key) => readValue(`context[${key}]`));
  const { hasTemplate, addTemplate } = runtime();
  let isKnown = sourceText !== undefined || hasTemplate(name);
  for (let i = 0; i < added.names.length; i++) isKnown ||= added.names[i] === name;
  if (!isKnown) refuse(name);
  for (let i = 0; i < added.names.length; i++) {
    addTemplate(added.names[i] as string, jsonParse(added.values[i] as string) as string);
  }
  return {
    source: sourceText === undefined ? undefined : (jsonParse(sourceText) as string),
    name,
    escapes: (flags & ESCAPES) !== 0,
    streams: (flags & STREAMS) !== 0,
    names: context.names,
    values: context.values,
    most: valueBytes,
  };
}

function readPairs<T>(readValue: (name: string) => T): { readonly names: string[]; readonly values: T[] } {
  const names: string[] = [];
  const values: T[] = [];
  setPrototypeOf(names, null);
  setPrototypeOf(values, null);
  for (let count = readNumber(), i = 0; i < count; i++) {
    names[i] = readText();
    values[i] = readValue(names[i] as string);
  }
  return { names, values };
}

/** @returns what renders it. @throws where it does not compile */
export function prepareTemplate(execution: Execution, request: RenderRequest): () => unknown {
  return runtime().prepareTemplate(request, (message, stack) => {
    const text = `{"message":${stringify(message)},"stack":${stringify(stack)}}`;
    emitEffect(EffectKind.TEMPLATE_WARNING, execution.number, 0, text);
  });
}

/** A stack with the places of templates, not those of the code they became. */
export function withTemplatePlaces(stack: string): string {
  return isConnected ? runtime().withTemplatePlaces(stack) : stack;
}
