# What scripts that use livescope begin with: `source` this file. It needs jq, and `buf` or grpcurl.
#
#   ADDRESS   host and port of the server; 127.0.0.1:50051 if unset
#   CURL      the client: `buf` if unset, or a grpcurl, by name or path
#
# A script that sources it ends at the first command that fails, also within a pipe.
set -euo pipefail
ADDRESS=${ADDRESS:-127.0.0.1:50051}
# npm brings a buf; one that is installed otherwise goes before it.
PATH=$PATH:$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/node_modules/.bin

# rpc SERVICE/METHOD: sends the JSON on standard input, and prints each answer as JSON. If the service refuses, it fails, with
# the status as JSON on standard error.
rpc() {
  case ${CURL:-buf} in
    *grpcurl*) "$CURL" -plaintext -format-error -d @ "$ADDRESS" "sandbox.v1.$1" ;;
    *) "${CURL:-buf}" curl --protocol grpc --http2-prior-knowledge --data @- "http://$ADDRESS/sandbox.v1.$1" ;;
  esac
}

# ok: passes an answer on if guest code ended well. If it threw or was stopped, which the service tells as an OK answer, it
# fails, with what happened on standard error. It fails as well if there is no answer.
ok() {
  local answer
  answer=$(cat)
  # Some versions of jq take no input for a success.
  [[ -n $answer ]] || return 1
  if jq -e '.execution | (.exception // .stopped) | not' <<<"$answer" >/dev/null; then
    printf '%s\n' "$answer"
  else
    jq -r '.execution
      | (.exception | select(.) | "\(.name // "thrown"): \(.message)" + ([.frames[]?
          | "\n    at \(.functionName // "top level") (\(.filename):\(.line // 0):\(.column // 0))"] | join(""))),
        (.stopped | select(.) | "\(.reason): \(.message)")' <<<"$answer" >&2
    return 1
  fi
}

# delete_sessions ID ...: deletes sessions, those that are gone already too.
delete_sessions() {
  local id
  for id; do
    jq -n --arg id "$id" '{session_id: $id, allow_missing: true}' | rpc SessionService/DeleteSession >/dev/null
  done
}

# refused COMMAND ...: runs a command that the service has to refuse, and prints the reason, such as SESSION_NOT_FOUND. It
# fails if the command does not.
refused() {
  local status
  if status=$("$@" 2>&1 >/dev/null); then
    echo "this was not refused: $*" >&2
    return 1
  fi
  # grpcurl reads the details of a status. buf leaves them in base64: the first field of an ErrorInfo is its reason.
  jq -r '.details[] | select((.type // ."@type") | endswith("google.rpc.ErrorInfo"))
    | .reason // (.value | @base64d | .[2:2 + (explode | .[1])])' <<<"$status"
}
