#!/usr/bin/env bash
# The main job from a shell: creates sessions, runs code in them, and calls what lives there through handles.
#
#   test/scripts/main-job.sh HOST:PORT [SCENARIO ...]
#
# Does all scenarios, or those that are named: S1, S2, S5, S6 and S11 stand for themselves, the others go together.
# Needs `buf` (npm install brings it) and node, which reads and writes the JSON. Exits with 0 if every answer was as
# expected.
set -euo pipefail

address=${1:?usage: main-job.sh HOST:PORT}
# npm brings a buf; one that is installed otherwise goes before it.
PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/node_modules/.bin
shift
scenarios=$*
failures=0

# asked SCENARIO: whether it is to be done.
asked() {
  [[ -z $scenarios || " $scenarios " == *" $1 "* ]]
}

# rpc SERVICE/METHOD JSON: prints the response as JSON. The server describes itself by reflection.
rpc() {
  buf curl --protocol grpc --http2-prior-knowledge --data "$2" "http://$address/sandbox.v1.$1"
}

# object NAME=TEXT NAME:=JSON ...: prints a JSON object. Texts are of one line.
object() {
  local field name text members=()
  for field in "$@"; do
    name=${field%%=*} text=${field#*=}
    if [[ $name == *: ]]; then
      members+=("\"${name%:}\":$text")
    else
      text=${text//\\/\\\\}
      members+=("\"$name\":\"${text//\"/\\\"}\"")
    fi
  done
  local IFS=,
  echo "{${members[*]}}"
}

# read_json EXPRESSION: prints what the expression makes of `it`, the JSON on standard input. Text as it is, else JSON.
read_json() {
  node -e '
    const text = require("node:fs").readFileSync(0, "utf8");
    if (text === "") process.exit(1);
    const it = JSON.parse(text);
    const result = new Function("it", `return (${process.argv[1]})`)(it);
    console.log(typeof result === "string" ? result : JSON.stringify(result));
  ' "$1"
}

create_session() {
  rpc SessionService/CreateSession '{}' | read_json it.session.sessionId
}

# execute SESSION CODE [FIELD ...]: runs code and prints the response.
execute() {
  local session=$1 code=$2
  shift 2
  rpc SandboxService/Execute "$(object sessionId="$session" code="$code" "$@")"
}

# call SESSION [FIELD ...]: calls what handleId or path names and prints the response.
call() {
  local session=$1
  shift
  rpc SandboxService/Call "$(object sessionId="$session" "$@")"
}

value() { read_json 'it.execution.value.data'; }
handle() { read_json 'it.execution.value.handle.handleId'; }

# refusal COMMAND ...: runs a command whose RPC must fail and prints the status and the reason, such as
# `not_found HANDLE_NOT_FOUND`.
refusal() {
  local error
  if error=$("$@" 2>&1 >/dev/null); then
    echo OK
  else
    # The first string of a google.rpc.ErrorInfo is its reason.
    read_json <<<"$error" '`${it.code} ${it.details
      .filter(({ type }) => type === "google.rpc.ErrorInfo")
      .map(({ value }) => Buffer.from(value, "base64"))
      .map((info) => info.toString("utf8", 2, 2 + info[1]))}`'
  fi
}

# expect WHAT WANTED GOT
expect() {
  if [[ $2 == "$3" ]]; then
    echo "ok    $1"
  else
    echo "WRONG $1: expected $2, got $3"
    failures=$((failures + 1))
  fi
}

counter='let total = 0; function inc(n) { return total += n }'
argument() { echo "args:=[{\"data\":$1}]"; }

if asked S1; then
  s=$(create_session)
  execute "$s" 'global_a = 123; function func_a() { console.log(global_a) }' >/dev/null
  expect "S1 a function keeps its globals" 123 "$(execute "$s" 'func_a()' | read_json 'it.execution.console[0].text')"
fi

if asked S2; then
  s=$(create_session)
  execute "$s" 'var x = 1; function f() { return x }' >/dev/null
  expect "S2 a function sees a variable change" 2 "$(execute "$s" 'x = 2; f()' | value)"
fi

one=$(create_session)
execute "$one" "$counter" >/dev/null
inc=$(execute "$one" 'inc' encoding=ENCODING_HANDLE | handle)
expect "S3 a handle is called" 5 "$(call "$one" handleId="$inc" "$(argument 5)" | value)"
expect "S3 a handle is called again" 7 "$(call "$one" handleId="$inc" "$(argument 2)" | value)"
expect "S3 the calls changed the session" 7 "$(execute "$one" 'total' | value)"

execute "$one" 'total = 100' >/dev/null
expect "S4 a handle sees what was assigned" 101 "$(call "$one" handleId="$inc" "$(argument 1)" | value)"

if asked S5; then
  s=$(create_session)
  execute "$s" 'const c = (() => { let n = 0; return { up: () => ++n, get: () => n } })()' >/dev/null
  expect "S5 a method is called by its path" 1 "$(call "$s" path=c.up | value)"
  expect "S5 a method is called again" 2 "$(call "$s" path=c.up | value)"
  expect "S5 its sibling shares the closure" 2 "$(call "$s" path=c.get | value)"
fi

if asked S6; then
  s=$(create_session)
  expect "S6 a binding is seen by the source" 10 \
    "$(execute "$s" 'var g = () => x; g()' 'bindings:={"x":{"data":10}}' | value)"
  expect "S6 a binding is no global" undefined "$(execute "$s" 'typeof x' | value)"
  expect "S6 a binding stays with its closures" 10 "$(call "$s" path=g | value)"
fi

two=$(create_session)
three=$(create_session)
execute "$two" "$counter" >/dev/null
execute "$three" "$counter" >/dev/null
expect "S7 a call in one session" 5 "$(call "$two" path=inc "$(argument 5)" | value)"
expect "S7 leaves the other alone" 0 "$(execute "$three" 'total' | value)"

foreign=$(execute "$two" 'inc' encoding=ENCODING_HANDLE | handle)
expect "S8 a handle is of no use elsewhere" "not_found HANDLE_NOT_FOUND" \
  "$(refusal call "$three" handleId="$foreign" "$(argument 1)")"
expect "S8 not as an argument either" "not_found HANDLE_NOT_FOUND" \
  "$(refusal call "$three" path=inc "args:=[{\"handle\":{\"handleId\":\"$foreign\"}}]")"
expect "S8 nothing ran where it was sent" 0 "$(execute "$three" 'total' | value)"
expect "S8 nothing ran where it is from" 5 "$(execute "$two" 'total' | value)"

if asked S11; then
  s=$(create_session)
  expect "S11 an exception is an outcome" '["TypeError","no","bad",1]' \
    "$(execute "$s" "function bad(){ throw new TypeError('no') } bad()" |
      read_json '(({ name, message, frames: [first] }) => [name, message, first.functionName, first.line])(
        it.execution.exception)')"
  expect "S11 and the session goes on" 2 "$(execute "$s" '1+1' | value)"
fi

execute "$one" 'total = 7' >/dev/null
expect "S15 a deadline holds, and what it stopped is undone" '["STOP_REASON_TIMEOUT",true]' \
  "$(execute "$one" 'total = 8; new Array(1e9)+""' 'limits:={"timeout":"0.2s"}' |
    read_json '[it.execution.stopped.reason, it.execution.undone]')"
expect "S15 the session is as it was before" 8 "$(call "$one" handleId="$inc" "$(argument 1)" | value)"

for session in "$one" "$two" "$three"; do
  rpc SessionService/DeleteSession "$(object sessionId="$session")" >/dev/null
done
expect "a deleted session is gone" "not_found SESSION_DELETED" "$(refusal execute "$one" '1')"

exit $((failures > 0))
