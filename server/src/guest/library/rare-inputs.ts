/** Inputs that most sessions never see: what they do is short, but every session would carry it. */

import type { Execution } from "../executions.js";
import { release, releaseAll, releaseGroup } from "../handle-entries.js";
import { holdsHandle, valueOfHandle } from "../handle-lookup.js";
import { hostFunctions, loadedHostFunctions } from "../host-functions.js";
import { Refused, readValue } from "../input-values.js";
import { KernelTypeError } from "../intrinsics.js";
import { defineVariable, globalObject } from "../names.js";
import { KernelNumber } from "../natives.js";
import { EffectKind, emitEffect, Refusal, readNumber, readOptionalText } from "../protocol.js";
import { readText } from "../read-text.js";
import { templateRuntime } from "../templates.js";
import { timers } from "../timers.js";
import type { PendingCall } from "./host-functions.js";
import { describeProperties } from "./inspect-properties.js";

export function takeHostResult(): void {
  const id = readText();
  let settle: (call: PendingCall) => void;
  try {
    if (readNumber() === 0) {
      const value = readValue("value");
      settle = (call) => call.resolve(value);
    } else {
      const field = "exception";
      if (readNumber() === 1) {
        const thrown = readValue(`${field}.thrown`);
        settle = (call) => call.reject(thrown);
      } else {
        const error = readErrorParts(field);
        settle = (call) => call.reject(hostFunctions().asOfCall(error, call));
      }
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // The guest did nothing wrong, and waits.
    const what = error.reason === Refusal.HANDLE_NOT_FOUND ? `there is no handle ${error.what}` : "it is malformed";
    settle = (call) => call.reject(new KernelTypeError(`the host function's result cannot be read: ${what}`));
  }
  loadedHostFunctions()?.answerCall(id, settle);
}

/** All names are defined or, where one cannot be, that is told. */
export function exposeFunctions(): void {
  for (let count = readNumber(); count > 0; count--) {
    const name = readText();
    if (!hostFunctions().exposeFunction(name)) throw new Refused(Refusal.NAME_FIXED, name);
  }
}

/** What a client's function threw: a value, or an error with its cause. */
function readError(field: string): unknown {
  return readNumber() === 1 ? readValue(`${field}.thrown`) : readErrorParts(field);
}

function readErrorParts(field: string): Error {
  const name = readText();
  const message = readText();
  const hasCause = readNumber() === 1;
  return hostFunctions().errorOf(name, message, hasCause ? readError(`${field}.cause`) : undefined, hasCause);
}

/** The session was at rest for so many milliseconds, which no timer is to feel. Cells hold no number as large as that may be. */
export function postponeTimers(): void {
  timers()?.postpone(KernelNumber(readText()));
}

export function render(execution: Execution): void {
  templateRuntime().render(execution, readValue, (name) => {
    throw new Refused(Refusal.TEMPLATE_NOT_FOUND, name);
  });
}

export function inspectValue(): void {
  const handle = readOptionalText();
  const path = readOptionalText();
  const most = readNumber();
  if (handle !== undefined && !holdsHandle(handle)) throw new Refused(Refusal.HANDLE_NOT_FOUND, handle);
  const answer = describeProperties(handle === undefined ? globalObject : valueOfHandle(handle), path, most);
  if (answer === undefined) throw new Refused(Refusal.NOT_AN_OBJECT, path ?? "");
  emitEffect(EffectKind.ANSWER, 0, 0, answer);
}

export function releaseHandles(): void {
  const all = readNumber() === 1;
  const group = readOptionalText();
  const count = readNumber();
  let released = 0;
  if (all) released = releaseAll();
  if (group !== undefined) released += releaseGroup(group);
  for (let i = 0; i < count; i++) released += release(readText());
  emitEffect(EffectKind.ANSWER, released, 0, "");
}

/** As an assignment at top level would: names of the new session, enumerable, and free to change. */
export function defineGlobals(): void {
  const count = readNumber();
  for (let i = 0; i < count; i++) {
    const name = readText();
    defineVariable(name, readValue(`globals[${name}]`));
  }
}
