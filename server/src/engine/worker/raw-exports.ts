/** The functions of the engine that this server calls, by the names that the C sources have for them. */
import { EVAL_FUNCTION_EXPORT } from "./bytecode-access.js";

export interface RawExports {
  readonly malloc: (size: number) => number;
  readonly free: (pointer: number) => void;
  readonly QTS_Throw: (context: number, error: number) => number;
  readonly QTS_NewRuntime: () => number;
  readonly QTS_NewContext: (runtime: number, intrinsics: number) => number;
  readonly QTS_RuntimeSetMaxStackSize: (runtime: number, bytes: number) => void;
  readonly QTS_RuntimeEnableInterruptHandler: (runtime: number) => void;
  readonly QTS_RuntimeEnableModuleLoader: (runtime: number, useHostNames: number) => void;
  readonly QTS_NewFunction: (context: number, name: number, arity: number, isConstructor: number, id: number) => number;
  readonly QTS_NewObject: (context: number) => number;
  readonly QTS_NewArrayBuffer: (context: number, buffer: number, length: number) => number;
  readonly QTS_GetArrayBuffer: (context: number, value: number) => number;
  readonly QTS_GetArrayBufferLength: (context: number, value: number) => number;
  readonly QTS_NewString: (context: number, text: number) => number;
  readonly QTS_GetString: (context: number, value: number) => number;
  readonly QTS_GetFloat64: (context: number, value: number) => number;
  readonly QTS_NewFloat64: (context: number, value: number) => number;
  readonly QTS_GetTrue: () => number;
  readonly QTS_GetUndefined: () => number;
  readonly QTS_DupValuePointer: (context: number, value: number) => number;
  readonly QTS_FreeValuePointer: (context: number, value: number) => void;
  readonly QTS_FreeCString: (context: number, text: number) => void;
  readonly QTS_GetPropNumber: (context: number, object: number, index: number) => number;
  readonly QTS_Call: (context: number, target: number, self: number, argc: number, argv: number) => number;
  readonly QTS_Eval: (
    context: number,
    code: number,
    length: number,
    filename: number,
    detectModule: number,
    flags: number,
  ) => number;
  readonly QTS_ResolveException: (context: number, value: number) => number;
  readonly QTS_PromiseState: (context: number, value: number) => number;
  readonly QTS_PromiseResult: (context: number, value: number) => number;
  readonly QTS_IsJobPending: (runtime: number) => number;
  readonly QTS_bjson_encode: (context: number, value: number) => number;
  readonly QTS_bjson_decode: (context: number, buffer: number) => number;
  /** `JS_EvalFunction`: takes a `JSValue`, not a pointer to one, and frees it. */
  readonly [EVAL_FUNCTION_EXPORT]: (context: number, compiled: bigint) => bigint;
  readonly QTS_ExecutePendingJob: (runtime: number, most: number, contextOut: number) => number;
}

/** The export that runs static constructors. The loader calls it by its minified name only. */
export const CONSTRUCTOR = { name: "constructor_", minified: "u" } as const;

/** The name that the function table is exported by. */
export const TABLE_EXPORT = "table";

const CALLED: Readonly<Record<keyof RawExports, true>> = {
  malloc: true,
  free: true,
  QTS_Throw: true,
  QTS_NewRuntime: true,
  QTS_NewContext: true,
  QTS_RuntimeSetMaxStackSize: true,
  QTS_RuntimeEnableInterruptHandler: true,
  QTS_RuntimeEnableModuleLoader: true,
  QTS_NewFunction: true,
  QTS_NewObject: true,
  QTS_NewArrayBuffer: true,
  QTS_GetArrayBuffer: true,
  QTS_GetArrayBufferLength: true,
  QTS_NewString: true,
  QTS_GetString: true,
  QTS_GetFloat64: true,
  QTS_NewFloat64: true,
  QTS_GetTrue: true,
  QTS_GetUndefined: true,
  QTS_DupValuePointer: true,
  QTS_FreeValuePointer: true,
  QTS_FreeCString: true,
  QTS_GetPropNumber: true,
  QTS_Call: true,
  QTS_Eval: true,
  QTS_ResolveException: true,
  QTS_PromiseState: true,
  QTS_PromiseResult: true,
  QTS_IsJobPending: true,
  QTS_bjson_encode: true,
  QTS_bjson_decode: true,
  [EVAL_FUNCTION_EXPORT]: true,
  QTS_ExecutePendingJob: true,
};

/**
 * Their names. The derived modules export nothing else: an instance has an object for each export, which is most of what it
 * takes to make one and a good part of what it holds.
 */
export const CALLED_FUNCTIONS = Object.keys(CALLED) as readonly (keyof RawExports)[];
