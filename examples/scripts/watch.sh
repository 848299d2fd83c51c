#!/usr/bin/env bash
# Watches a session in the background, while other commands use it: what everybody's code prints, and how it ends.
source "$(dirname "$0")/livescope.sh"

session=$(rpc SessionService/CreateSession <<<'{}' | jq -r .session.sessionId)
events=$(mktemp)

trap 'delete_sessions "$session"; rm -f "$events"' EXIT

# The watch begins with the session as it is; from then on nothing is missed. Wait for that.
jq -n --arg id "$session" '{session_id: $id}' | rpc SessionService/WatchSession >"$events" 2>/dev/null &
watcher=$!
for _ in {1..200}; do
  [[ -s $events ]] && break
  sleep 0.05
done
[[ -s $events ]]

jq -n --arg id "$session" '{session_id: $id, code: "console.log(\"hello\"); 6 * 7", request_id: "first"}' |
  rpc SandboxService/Execute | ok >/dev/null
jq -n --arg id "$session" '{session_id: $id, path: "nobody", request_id: "second"}' |
  rpc SandboxService/Call | ok >/dev/null 2>&1 || true

# The end of the session is the end of the watch, by a status: it failed, and all that happened has come.
delete_sessions "$session"
wait "$watcher" || true
jq -r '
  (.session | select(.) | "the session is \(.state | ltrimstr("SESSION_STATE_") | ascii_downcase)"),
  (.event | select(.) | .executionId as $id
    | (.console | select(.) | "\($id) printed: \(.text)"),
      (.finished.value | select(.) | "\($id) gave: \(.data)"),
      (.finished.exception | select(.) | "\($id) threw: \(.message)"))' "$events"
