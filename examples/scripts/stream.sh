#!/usr/bin/env bash
# Values, text and console entries as they come, instead of all at once when the code has ended.
source "$(dirname "$0")/livescope.sh"

session=$(rpc SessionService/CreateSession <<<'{}' | jq -r .session.sessionId)
trap 'delete_sessions "$session"' EXIT

# stream FILTER: sends the command on standard input, and prints what the jq filter makes of each event, one line each. jq has
# no `ok` here: its `error` fails the pipe, and with it the script, when the end says that the code threw or was stopped.
stream() {
  jq '{command: .}' | rpc SandboxService/Run | jq --unbuffered -r "
    .event
    | (.finished | (.exception // .stopped) | select(.) | error(.message)),
      ($1)"
}

# What a generator yields is sent as it comes. The reader sets the pace: the guest waits for it.
jq -n --arg id "$session" --arg code '
  function* primes() {
    const found = [];
    for (let n = 2; ; n++) if (found.every((p) => n % p > 0)) { found.push(n); yield n }
  }
  (function* () { for (const p of primes()) { if (p > 20) return "enough"; yield p } })()
' '{execute: {session_id: $id, code: $code}}' |
  stream '(.emitted | select(.) | .data), (.finished.value.data | select(.) | "it returned: \(.)")' |
  while read -r line; do echo "prime: $line"; done

# A text that may be too large for one answer comes in pieces: `stream: true`. Put one behind the other they are the text.
jq -n --arg id "$session" --arg source '{% for i of Array(5000).keys() %}row {{ i }}, {% end %}' \
  '{render: {session_id: $id, source: $source, stream: true}}' |
  stream '.emitted | select(.) | .json' |
  jq -rs '(length | if . > 1 then "several pieces" else "one piece" end), "\(map(length) | add) characters, \(add[:14])..."'

# The console too, with its levels.
jq -n --arg id "$session" '{execute: {session_id: $id, code: "console.log(\"begin\"); console.warn(\"odd\"); 1"}}' |
  stream '.console | select(.) | "\(.level | ltrimstr("CONSOLE_LEVEL_") | ascii_downcase): \(.text)"'

# Who throws half-way has sent what came before, and fails the script.
jq -n --arg id "$session" '{execute: {session_id: $id, code: "(function* () { yield 1; throw new Error(\"half-way\") })()"}}' |
  stream '.emitted | select(.) | .data' 2>/dev/null || echo "and then it failed"
