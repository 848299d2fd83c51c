#!/usr/bin/env bash
# What can go wrong, and how a script notices it: code that throws, code that is stopped, and a service that refuses.
source "$(dirname "$0")/livescope.sh"

session=$(rpc SessionService/CreateSession <<<'{}' | jq -r .session.sessionId)
trap 'delete_sessions "$session"' EXIT

# run CODE [LIMITS]: runs code in the session, and prints its value.
run() {
  jq -n --arg id "$session" --arg code "$1" --argjson limits "${2:-null}" \
    '{session_id: $id, code: $code, filename: "rules.js", limits: $limits}' |
    rpc SandboxService/Execute | ok | jq -c .execution.value.data
}

run 'var total = 7; total' # 7

# Code that throws fails the command. What it did before stands.
run 'total = 8; function bad() { null.x } bad()' || echo "it threw, and failed with $?"
run 'total'

# So does code that runs too long; but of that nothing stands.
run 'total = 9; for (;;);' '{"timeout": "0.2s"}' || echo "it was stopped, and failed with $?"
run 'total'

# An exception may be what the script is for: then it reads it, and does not ask `ok`.
jq -n --arg id "$session" '{session_id: $id, code: "JSON.parse(\"{]\")"}' | rpc SandboxService/Execute |
  jq -r '.execution.exception | "expected: \(.name) in phase \(.phase)"'

# What the service refuses is a status, and its reason tells why. Nothing ran.
delete() { jq -n --arg id "$1" '{session_id: $id}' | rpc SessionService/DeleteSession; }
delete "$session" >/dev/null
echo "refused: $(refused delete "$session")"
echo "refused: $(refused run 'total')"

# Without anybody to take care of it, a failure ends the script: the last line is never reached.
run 'total' 2>/dev/null
echo "this is never printed"
