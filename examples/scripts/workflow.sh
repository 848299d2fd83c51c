#!/usr/bin/env bash
# A session from its beginning to its end: code, a handle, a template, and two forks of which the better one wins.
#
#     examples/scripts/workflow.sh
#     ADDRESS=127.0.0.1:50051 CURL=grpcurl examples/scripts/workflow.sh
source "$(dirname "$0")/livescope.sh"

session=$(rpc SessionService/CreateSession <<<'{}' | jq -r .session.sessionId)
forks=

# Whatever happens from here on, nothing of it stays on the server.
trap 'delete_sessions $session $forks' EXIT

# Code is a text like any other: jq puts it into the request, whatever quotes and line breaks it has.
jq -n --arg id "$session" --arg code '
  const stock = { apples: 3, pears: 5 };
  function take(name, n) {
    if (!(stock[name] >= n)) throw new RangeError(`there are no ${n} ${name}`);
    stock[name] -= n;
    return stock;
  }
' '{session_id: $id, code: $code}' | rpc SandboxService/Execute | ok >/dev/null

# A handle names the function, whatever becomes of its name.
take=$(jq -n --arg id "$session" '{session_id: $id, code: "take", encoding: "ENCODING_HANDLE"}' |
  rpc SandboxService/Execute | ok | jq -r .execution.value.handle.handleId)

# take_from SESSION NAME NUMBER: calls it, and prints what is left.
take_from() {
  jq -n --arg id "$1" --arg take "$take" --arg name "$2" --argjson n "$3" \
    '{session_id: $id, handle_id: $take, args: [{data: $name}, {data: $n}]}' |
    rpc SandboxService/Call | ok | jq -c .execution.value.data
}

# In an assignment of its own: within the arguments of `echo` a command may fail unnoticed.
left=$(take_from "$session" apples 1)
echo "after one apple: $left"

# A template sees what lives in the session.
jq -n --arg id "$session" '{
  session_id: $id,
  source: "{{ greeting }}:{% for [name, n] of Object.entries(stock) %} {{ n }} {{ name }}{% end %}",
  context: {greeting: {data: "in stock"}}
}' | rpc SandboxService/Render | ok | jq -r '"rendered: \(.text)"'

# Forks have all that their origin has, handles too, and go their own ways.
forks=$(jq -n --arg id "$session" '{session_id: $id, count: 2}' |
  rpc SessionService/ForkSession | jq -r '.sessions[].sessionId')
read -r -d '' one two <<<"$forks" || true
left_in_one=$(take_from "$one" pears 4)
left_in_two=$(take_from "$two" apples 2)
jq -n -r --argjson one "$left_in_one" --argjson two "$left_in_two" \
  '{$one, $two} | to_entries | max_by(.value | add) | "fork \(.key) has more left: \(.value | tojson)"'

left=$(jq -n --arg id "$session" '{session_id: $id, code: "stock"}' |
  rpc SandboxService/Execute | ok | jq -c .execution.value.data)
echo "the session itself: $left"
