/** What the kernel tells of values that it does not carry: of handles, and of what was thrown. */
export { describeHandle } from "../describe-handle.js";
export { describeRejection, describeThrown } from "../errors.js";
export { isError } from "../inspect.js";
