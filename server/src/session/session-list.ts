/** Pages of a list of sessions, which are ordered by the time they were created and then by their ids. */
import { invalid } from "./errors.js";
import { fitting } from "./pages.js";
import type { SessionInfo } from "./session-info.js";

/** The last session of a page. */
export type Place = Pick<SessionInfo, "createdAt" | "sessionId">;

/** What a list may hold. */
interface Listed extends Place {
  readonly labels: ReadonlyMap<string, string>;
}

/**
 * @param sessions may hold some twice; the first of them counts
 * @param after the last of the page before; undefined for the first page
 */
export function pageOf<T extends Listed>(
  sessions: readonly T[],
  size: number,
  after: Place | undefined,
  labels: ReadonlyMap<string, string>,
): { sessions: readonly T[]; next: string } {
  const byId = new Map<string, T>();
  for (const session of sessions) {
    if (byId.has(session.sessionId) || (after !== undefined && compare(session, after) <= 0)) continue;
    if (hasLabels(session, labels)) byId.set(session.sessionId, session);
  }
  const found = [...byId.values()].sort(compare);
  const page = fitting(found.slice(0, size));
  const last = found.length > page.length ? page.at(-1) : undefined;
  return { sessions: page, next: last === undefined ? "" : writeToken(last) };
}

function compare(a: Place, b: Place): number {
  if (a.createdAt !== b.createdAt) return a.createdAt - b.createdAt;
  return a.sessionId < b.sessionId ? -1 : a.sessionId > b.sessionId ? 1 : 0;
}

function hasLabels(session: Listed, labels: ReadonlyMap<string, string>): boolean {
  for (const [name, value] of labels) if (session.labels.get(name) !== value) return false;
  return true;
}

function writeToken({ createdAt, sessionId }: Place): string {
  return Buffer.from(`p${createdAt}:${sessionId}`).toString("base64url");
}

/** @throws SessionError INVALID_REQUEST */
export function readToken(token: string): Place | undefined {
  if (token === "") return undefined;
  const text = Buffer.from(token, "base64url").toString("latin1");
  const [, createdAt, sessionId] = /^p(\d{1,15}):([\x21-\x7e]+)$/.exec(text) ?? [];
  const place = sessionId === undefined ? undefined : { createdAt: Number(createdAt), sessionId };
  // The decoder passes over what is no base64.
  if (place !== undefined && writeToken(place) === token) return place;
  throw invalid("page_token", "is not one this server gave; leave it empty for the first page");
}
