/** Labels of sessions and snapshots. */
import { invalid } from "../session/errors.js";
import { checkedText } from "./values.js";

const LABELS = 64;

/** @throws SessionError INVALID_REQUEST */
export function checkedLabels(labels: ReadonlyMap<string, string>, field = "labels"): ReadonlyMap<string, string> {
  if (labels.size > LABELS) throw invalid(field, `may have at most ${LABELS} entries`);
  for (const [name, value] of labels) {
    checkedText(name, field);
    checkedText(value, `${field}[${name}]`);
  }
  return labels;
}
