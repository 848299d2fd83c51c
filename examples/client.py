#!/usr/bin/env python3
"""A client of livescope in Python, with nothing of it but its .proto files and docs/protocol.md.

    examples/client.py HOST:PORT

Sends values of all kinds into a session and gets them back. Needs grpcio and grpcio-tools.
"""

import importlib.resources
import json
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

import graph

PROTO = pathlib.Path(__file__).resolve().parents[1] / "proto"


def generate_stubs(directory):
    """Generates the client code of the contract into a directory and makes it importable."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    outputs = [f"--python_out={directory}", f"--grpc_python_out={directory}"]
    sources = [str(path) for folder in ("sandbox/v1", "google/rpc") for path in PROTO.glob(f"{folder}/*.proto")]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, *sources]) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, directory)
    # `google` is imported already, from where protobuf is installed.
    import google

    google.__path__ = [*google.__path__, f"{directory}/google"]


class Session:
    """A session on the server. Values are those of graph.py; bytes are a Uint8Array."""

    def __init__(self, channel):
        from sandbox.v1 import command_pb2, sandbox_service_pb2_grpc, value_pb2
        from sandbox.v1 import session_service_pb2, session_service_pb2_grpc

        self.requests, self.values = command_pb2, value_pb2
        self.sandbox = sandbox_service_pb2_grpc.SandboxServiceStub(channel)
        sessions = session_service_pb2_grpc.SessionServiceStub(channel)
        created = sessions.CreateSession(session_service_pb2.CreateSessionRequest())
        self.shared = {"session_id": created.session.session_id, "encoding": value_pb2.ENCODING_FULL}

    def execute(self, code, **bindings):
        bound = {name: self.encode(value) for name, value in bindings.items()}
        request = self.requests.ExecuteRequest(code=code, bindings=bound, **self.shared)
        return self.outcome(self.sandbox.Execute(request).execution)

    def call(self, target, *args):
        """Calls a function by path, or by handle."""
        by = {"handle_id": target.handle_id} if isinstance(target, graph.Handle) else {"path": target}
        request = self.requests.CallRequest(args=[self.encode(arg) for arg in args], **by, **self.shared)
        return self.outcome(self.sandbox.Call(request).execution)

    def encode(self, value):
        if isinstance(value, bytes):
            return self.values.Value(bytes=value)
        return self.values.Value(graph=graph.write(value))

    def outcome(self, execution):
        if execution.WhichOneof("outcome") != "value":
            raise RuntimeError(str(getattr(execution, execution.WhichOneof("outcome") or "exception")))
        value, arm = execution.value, execution.value.WhichOneof("kind")
        if arm == "handle":
            handle = value.handle
            return graph.Handle(handle.handle_id, handle.type, handle.class_name, handle.preview, handle.arity)
        if arm == "bytes":
            return value.bytes
        if arm == "json":
            return json.loads(value.json)
        return graph.UNDEFINED if arm is None else graph.read(value.graph)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: client.py HOST:PORT")
    with tempfile.TemporaryDirectory() as stubs, grpc.insecure_channel(sys.argv[1]) as channel:
        generate_stubs(stubs)
        session = Session(channel)
        session.execute("function identity(value) { return value }")
        for value in [*graph.samples(), b"\0\1\xff"]:
            copy = session.call("identity", value)
            if isinstance(value, dict) and value.get("self") is value:
                assert copy["self"] is copy
            else:
                assert copy == value, (copy, value)
        found = session.execute("[new Date(5), 2n ** 70n, (n) => n * 2n, new Map([[NaN, undefined]])]")
        date, big, double, mapped = found
        assert date == graph.Date(5) and big == 2**70 and mapped.items[0][1] is graph.UNDEFINED
        assert session.call(double, graph.BigInt(21)) == 42
        assert session.execute("held.get('f')(1n)", held=graph.Map([("f", double)])) == 2
    print("ok    values of all kinds go in and come out")


if __name__ == "__main__":
    main()
