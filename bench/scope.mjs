/** The data that a session holds, or that is shipped with every call. Both arms use the same records and function. */

/** `touch(i)` changes one record and gives a small number back. */
export const TOUCH_SOURCE =
  "function touch(i) { const record = scope.records[i % scope.records.length]; record.count += 1; return record.count; }";

/** The record that a shipped scope changes. */
export const SHIPPED_INDEX = 7;

const BUILD_SOURCE = `
function build(bytes) {
  const scope = { records: [] };
  const record = (i) => ({
    id: i,
    name: "customer " + i,
    tags: ["tag" + (i % 7), "tag" + (i % 11)],
    note: "the note of record " + i + ", which is as long as notes tend to be: about a hundred characters in all",
    count: 0,
  });
  for (let size = 0, i = 0; i < 1 || size < bytes; i++) {
    scope.records.push(record(i));
    size += JSON.stringify(scope.records[i]).length + 1;
  }
  return scope;
}`;

/** Source that builds a scope inside a session: `bytes` is the length of its JSON text. */
export const buildSource = (bytes) => `var scope = (${BUILD_SOURCE.trim()})(${bytes});\n${TOUCH_SOURCE}\ntouch`;

/** The same scope as JSON text. */
export const scopeText = (bytes) => JSON.stringify(new Function(`return (${BUILD_SOURCE.trim()})(${bytes})`)());
