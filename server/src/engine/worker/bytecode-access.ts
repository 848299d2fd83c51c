/**
 * Opens the engine's own reading and writing of bytecode, which this build contains but does not offer.
 *
 * The kernel and its libraries are compiled once, in an instance that is then dropped, and come into sessions as bytecode:
 * compiling in place would leave the base image full of holes, and a session that loads a library waiting for the parser.
 * Three edits of the package's bytes, each as long as what it replaces, so that no offset moves. They are bound to the build by
 * its SHA-256, which is checked before.
 */

/** The export that becomes `JS_EvalFunction(JSContext*, JSValue): JSValue`; what it told before nobody asks. */
export const EVAL_FUNCTION_EXPORT = "QTS_BuildIsAsyncify";

interface Edit {
  readonly what: string;
  readonly from: readonly number[];
  readonly to: readonly number[];
}

const LOCAL_GET_2 = [0x20, 0x02];

const EDITS: readonly Edit[] = [
  {
    // The writer's flags and its first atom, one 64-bit word in front of both: the lowest byte allows bytecode.
    what: "QTS_bjson_encode",
    from: [0x42, 0x80, 0x80, 0x84, 0x80, 0x10, 0x37, 0x02, 0x1c],
    to: [0x42, 0x81, 0x80, 0x84, 0x80, 0x10, 0x37, 0x02, 0x1c],
  },
  {
    // The reader's state is cleared from its end to its begin: i32 at 56, i64 at 48, i64 at 40. The last of the three becomes
    // a byte 1 at 45, which allows bytecode. So 40 is cleared first, and 56 not at all: it is read only where references are
    // allowed, which they are not.
    what: "QTS_bjson_decode",
    from: [
      ...LOCAL_GET_2,
      ...[0x41, 0x00, 0x36, 0x02, 0x38],
      ...LOCAL_GET_2,
      ...[0x42, 0x00, 0x37, 0x02, 0x30],
      ...LOCAL_GET_2,
      ...[0x42, 0x00, 0x37, 0x02, 0x28],
    ],
    to: [
      ...LOCAL_GET_2,
      ...[0x42, 0x00, 0x37, 0x02, 0x28],
      ...LOCAL_GET_2,
      ...[0x42, 0x00, 0x37, 0x02, 0x30],
      ...LOCAL_GET_2,
      ...[0x41, 0x01, 0x3a, 0x00, 0x2d],
    ],
  },
  {
    // An entry of the export section: name "Ca", kind function, index 401, becomes index 777.
    what: EVAL_FUNCTION_EXPORT,
    from: [0x02, 0x43, 0x61, 0x00, 0x91, 0x03],
    to: [0x02, 0x43, 0x61, 0x00, 0x89, 0x06],
  },
];

/** @returns a copy that reads and writes bytecode. @throws Error where an edit does not fit exactly once */
export function openBytecode(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  for (const { what, from, to } of EDITS) {
    const pattern = Buffer.from(from);
    const at = copy.indexOf(pattern);
    if (at < 0 || copy.indexOf(pattern, at + 1) >= 0) throw new Error(`engine: ${what} is not where it should be`);
    copy.set(to, at);
  }
  return copy;
}
