/**
 * The function that the engine calls when a promise is rejected while nobody handles it, and when somebody then does.
 *
 * The engine has a callback for this (`JS_SetHostPromiseRejectionTracker`) that the package does not offer. Two words of
 * the runtime hold it, an index into the function table and a pointer for the callback; boot.ts finds them, and every
 * instance has the callback at the same index. Code that rejects nothing costs nothing.
 */

/** A module that imports a function of the callback's type and exports it: only such a function may stand in a table. */
const ADAPTER = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  // type 0: (i32 context, i64 promise, i64 reason, i32 is handled, i32 opaque) -> ()
  ...[1, 9, 1, 0x60, 5, 0x7f, 0x7e, 0x7e, 0x7f, 0x7f, 0],
  // import "a" "a", a function of type 0
  ...[2, 7, 1, 1, 0x61, 1, 0x61, 0, 0],
  // export "a", function 0
  ...[7, 5, 1, 1, 0x61, 0, 0],
]);

/** @param tell gets promise and reason as `JSValue`s, borrowed; first that nobody handles it, perhaps later that somebody does */
export function rejectionCallback(
  tell: (promise: bigint, reason: bigint, isHandled: boolean) => void,
): WebAssembly.ExportValue {
  const callback = (_context: number, promise: bigint, reason: bigint, isHandled: number): void =>
    tell(promise, reason, isHandled !== 0);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(ADAPTER), { a: { a: callback } });
  return exports.a as WebAssembly.ExportValue;
}
