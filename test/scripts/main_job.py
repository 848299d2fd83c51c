#!/usr/bin/env python3
"""The main job from Python, with nothing of livescope's but its .proto files.

    test/scripts/main_job.py HOST:PORT

Needs grpcio and grpcio-tools. Exits with 0 if every answer was as expected.
"""

import importlib.resources
import pathlib
import sys
import tempfile

import grpc
from google.protobuf import duration_pb2, json_format
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def generate_stubs(directory):
    """Generates the client code of the contract into a directory and makes it importable."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    # google.rpc is generated as well: it comes with another package, which may not be there.
    sources = [*PROTO.glob("sandbox/v1/*.proto"), *PROTO.glob("google/rpc/*.proto")]
    arguments = [
        "protoc",
        f"-I{PROTO}",
        f"-I{well_known}",
        f"--python_out={directory}",
        f"--grpc_python_out={directory}",
        *map(str, sources),
    ]
    if protoc.main(arguments) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, directory)
    # `google` is imported already, from where protobuf is installed.
    import google

    google.__path__ = [*google.__path__, f"{directory}/google"]


class Livescope:
    """Calls of a server, as short as a script wants them."""

    def __init__(self, channel):
        from sandbox.v1 import command_pb2, sandbox_service_pb2_grpc
        from sandbox.v1 import session_service_pb2, session_service_pb2_grpc, value_pb2

        self.requests = command_pb2
        self.values = value_pb2
        self.sandbox = sandbox_service_pb2_grpc.SandboxServiceStub(channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(channel)
        self.create_request = session_service_pb2.CreateSessionRequest

    def create_session(self):
        return self.sessions.CreateSession(self.create_request()).session.session_id

    def execute(self, session, code, **fields):
        request = self.requests.ExecuteRequest(session_id=session, code=code, **fields)
        return self.sandbox.Execute(request).execution

    def call(self, session, *args, **fields):
        request = self.requests.CallRequest(session_id=session, args=args, **fields)
        return self.sandbox.Call(request).execution

    def data(self, value):
        return json_format.ParseDict({"data": value}, self.values.Value())

    def handle_of(self, session, code):
        execution = self.execute(session, code, encoding=self.values.ENCODING_HANDLE)
        return execution.value.handle


def value_of(execution):
    """The plain value that an execution gave; None for an outcome that is no plain value."""
    return json_format.MessageToDict(execution.value).get("data")


def refusal_of(call):
    """Makes a call that must fail; gives the names of its status and of its reason."""
    from google.rpc import error_details_pb2, status_pb2

    try:
        call()
    except grpc.RpcError as error:
        info = error_details_pb2.ErrorInfo()
        metadata = dict(error.trailing_metadata())
        for detail in status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details:
            detail.Unpack(info)
        return error.code().name, info.reason
    return "OK", ""


def main_job(livescope):
    """Yields what was done, what was expected and what came."""
    execute, call, data = livescope.execute, livescope.call, livescope.data
    counter = "let total = 0; function inc(n) { return total += n }"

    session = livescope.create_session()
    execute(session, "global_a = 123; function func_a() { console.log(global_a) }")
    console = execute(session, "func_a()").console
    yield "S1 a function keeps its globals", ["123"], [entry.text for entry in console]

    one = livescope.create_session()
    execute(one, counter)
    inc = livescope.handle_of(one, "inc").handle_id
    yield "S3 a handle is called", 5, value_of(call(one, data(5), handle_id=inc))
    yield "S3 a handle is called again", 7, value_of(call(one, data(2), handle_id=inc))
    yield "S3 the calls changed the session", 7, value_of(execute(one, "total"))

    session = livescope.create_session()
    execute(session, "const c = (() => { let n = 0; return { up: () => ++n, get: () => n } })()")
    paths = ["c.up", "c.up", "c.get"]
    yield "S5 methods are called by their paths", [1, 2, 2], [value_of(call(session, path=path)) for path in paths]

    two = livescope.create_session()
    execute(two, counter)
    foreign = livescope.handle_of(two, "inc")
    refused = ("NOT_FOUND", "HANDLE_NOT_FOUND")
    as_target = refusal_of(lambda: call(one, data(1), handle_id=foreign.handle_id))
    yield "S8 a handle is of no use elsewhere", refused, as_target
    as_argument = refusal_of(lambda: call(one, livescope.values.Value(handle=foreign), handle_id=inc))
    yield "S8 not as an argument either", refused, as_argument
    yield "S8 nothing ran", [7, 0], [value_of(execute(one, "total")), value_of(execute(two, "total"))]

    thrown = execute(session, "function bad(){ throw new TypeError('no') } bad()").exception
    frame = thrown.frames[0]
    yield "S11 an exception is an outcome", ("TypeError", "no"), (thrown.name, thrown.message)
    yield "S11 with its place", ("bad", 1), (frame.function_name, frame.line)
    yield "S11 and the session goes on", 2, value_of(execute(session, "1+1"))

    execute(one, "total = 7")
    limits = {"timeout": duration_pb2.Duration(nanos=200_000_000)}
    ended = execute(one, 'total = 8; new Array(1e9)+""', limits=limits)
    yield "S15 a deadline holds", "stopped", ended.WhichOneof("outcome")
    yield "S15 and says so", "STOP_REASON_TIMEOUT", json_format.MessageToDict(ended)["stopped"]["reason"]
    yield "S15 what it stopped is undone", True, ended.undone
    yield "S15 the session is as it was before", 8, value_of(call(one, data(1), handle_id=inc))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: main_job.py HOST:PORT")
    failures = 0
    with tempfile.TemporaryDirectory() as stubs, grpc.insecure_channel(sys.argv[1]) as channel:
        generate_stubs(stubs)
        for what, wanted, got in main_job(Livescope(channel)):
            failures += wanted != got
            print(f"ok    {what}" if wanted == got else f"WRONG {what}: expected {wanted}, got {got}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
