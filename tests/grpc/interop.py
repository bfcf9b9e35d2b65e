"""gRPC's interop cases (grpc/doc/interop-test-descriptions.md) through a split between two servers.

Messages are plain bytes: a message of n bytes asks for an answer of the size that stands in its first four bytes. Each case runs
until both versions have answered it, as their initial metadata tell; cases that no version answers by design are excused.
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "interop.Test"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
LARGE = [("grpc.max_receive_message_length", 8 << 20), ("grpc.max_send_message_length", 8 << 20)]


def ask(size, payload=0):
    return size.to_bytes(4, "big") + bytes(payload)


def answer(request):
    return bytes(int.from_bytes(request[:4], "big"))


class Test(grpc.GenericRpcHandler):
    """The service under test; each version says which one it is."""

    def __init__(self, version):
        self.version = version
        self.cancelled = threading.Event()

    def greet(self, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-version", self.version)] + [(name, sent[name]) for name in (INITIAL,) if name in sent])
        if TRAILING in sent:
            context.set_trailing_metadata([(TRAILING, sent[TRAILING])])
        if "x-fail-with" in sent:
            context.abort(grpc.StatusCode.UNKNOWN, bytes.fromhex(sent["x-fail-with"]).decode())

    def unary(self, request, context):
        self.greet(context)
        return answer(request)

    def collect(self, requests, context):
        self.greet(context)
        return sum(len(request) - 4 for request in requests).to_bytes(4, "big")

    def spread(self, request, context):
        self.greet(context)
        for at in range(0, len(request), 4):
            yield answer(request[at:at + 4])

    def talk(self, requests, context):
        self.greet(context)
        for request in requests:
            yield answer(request)

    def hang(self, request, context):
        self.greet(context)
        context.add_callback(self.cancelled.set)
        while context.is_active():
            time.sleep(0.01)
        return b""

    def service(self, details):
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Spread": grpc.unary_stream_rpc_method_handler(self.spread),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
        }
        prefix, _, method = details.method.rpartition("/")
        return kinds.get(method) if prefix == f"/{SERVICE}" else None


def serve(version):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), options=LARGE)
    test = Test(version)
    status = health.HealthServicer()
    status.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    server.add_generic_rpc_handlers((test,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, test, port


def equal(got, wanted):
    assert got == wanted, f"got {got!r:.200}, not {wanted!r:.200}"


def failed(call):
    """Runs a call that must fail; returns its error."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


def version_of(call):
    return dict(call.initial_metadata()).get("x-version")


class Cases:
    """The eleven cases; each returns the version that answered, or None when none does by design."""

    def __init__(self, channel):
        self.unary = channel.unary_unary(f"/{SERVICE}/Unary")
        self.collect = channel.stream_unary(f"/{SERVICE}/Collect")
        self.spread = channel.unary_stream(f"/{SERVICE}/Spread")
        self.talk = channel.stream_stream(f"/{SERVICE}/Talk")
        self.hang = channel.unary_unary(f"/{SERVICE}/Hang")
        self.no_method = channel.unary_unary(f"/{SERVICE}/Nothing")
        self.no_service = channel.unary_unary("/interop.Nothing/Unary")

    def empty_unary(self):
        got, call = self.unary.with_call(b"", timeout=10)
        equal(got, b"")
        return version_of(call)

    def large_unary(self):
        got, call = self.unary.with_call(ask(314159, 271828), timeout=10)
        equal(len(got), 314159)
        return version_of(call)

    def client_streaming(self):
        got, call = self.collect.with_call((ask(0, size) for size in (27182, 8, 1828, 45904)), timeout=10)
        equal(int.from_bytes(got, "big"), 74922)
        return version_of(call)

    def server_streaming(self):
        sizes = (31415, 9, 2653, 58979)
        call = self.spread(b"".join(map(ask, sizes)), timeout=10)
        equal(tuple(map(len, call)), sizes)
        return version_of(call)

    def ping_pong(self):
        turn, done = threading.Semaphore(), []

        def pings():
            for size, payload in ((31415, 27182), (9, 8), (2653, 1828), (58979, 45904)):
                assert turn.acquire(timeout=10)
                yield ask(size, payload)

        call = self.talk(pings(), timeout=10)
        for got in call:
            done.append(len(got))
            turn.release()
        equal(done, [31415, 9, 2653, 58979])
        return version_of(call)

    def empty_stream(self):
        call = self.talk(iter(()), timeout=10)
        equal(list(call), [])
        return version_of(call)

    def status_code_and_message(self, message="test status message"):
        fails = [("x-fail-with", message.encode().hex())]
        for call in (lambda: self.unary(b"", metadata=fails, timeout=10), lambda: list(self.talk(iter([ask(1)]), metadata=fails, timeout=10))):
            error = failed(call)
            equal((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, message))
        return version_of(error)

    def special_status_message(self):
        return self.status_code_and_message(SPECIAL)

    def custom_metadata(self):
        sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
        _, unary = self.unary.with_call(ask(314159, 271828), metadata=sent, timeout=10)
        stream = self.talk(iter([ask(314159, 271828)]), metadata=sent, timeout=10)
        equal([len(got) for got in stream], [314159])
        for call in (unary, stream):
            equal(dict(call.initial_metadata()).get(INITIAL), sent[0][1])
            equal(dict(call.trailing_metadata()).get(TRAILING), sent[1][1])
        return version_of(unary)

    def unimplemented_method(self):
        equal(failed(lambda: self.no_method(b"", timeout=10)).code(), grpc.StatusCode.UNIMPLEMENTED)

    def unimplemented_service(self):
        equal(failed(lambda: self.no_service(b"", timeout=10)).code(), grpc.StatusCode.UNIMPLEMENTED)


CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "status_code_and_message",
         "special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service"]
UNANSWERED = {"unimplemented_method", "unimplemented_service"}


def through_both(case):
    """Runs a case until both versions have answered it, ten times where neither says who it is."""
    seen = set()
    for _ in range(10 if case.__name__ in UNANSWERED else 60):
        seen.add(case())
        if seen == {"v1", "v2"}:
            return
    assert case.__name__ in UNANSWERED, f"answered by {seen} only"


def deadline(cases):
    error = failed(lambda: cases.hang(b"", timeout=0.3))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


def cancellation(cases, tests):
    for test in tests:
        test.cancelled.clear()
    call = cases.hang.future(b"", timeout=10)
    call.initial_metadata()
    call.cancel()
    until = time.monotonic() + 5
    while not any(test.cancelled.is_set() for test in tests):
        assert time.monotonic() < until, "no version learned of the cancellation"
        time.sleep(0.01)


def four_mebibytes(cases):
    got = cases.unary(ask(4 << 20, 4 << 20), timeout=20)
    equal(len(got), 4 << 20)


def health_check(channel):
    got = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
    equal(got.status, health_pb2.HealthCheckResponse.SERVING)


def weights_shift(channel, admin, port, shifts=20):
    """Streams and calls go on while the canary's share goes up and down again; none may fail."""
    cases, over, problems, counts = Cases(channel), threading.Event(), [], {"streams": 0, "messages": 0, "calls": 0}

    def pings():
        while not over.is_set():
            yield ask(100, 100)
            time.sleep(0.01)

    def stream():
        try:
            while not over.is_set():
                for got in cases.talk(pings(), timeout=60):
                    equal(len(got), 100)
                    counts["messages"] += 1
                counts["streams"] += 1
        except Exception as error:  # whatever it is, it is a failed stream
            problems.append(error)

    def calls():
        while not over.is_set():
            try:
                cases.empty_unary()
                counts["calls"] += 1
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=stream) for _ in range(8)] + [threading.Thread(target=calls) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(shifts):
        if number % 2 == 0:
            command(admin, "/v1/rollouts/test/abort", {"reason": "to shift"})
        else:
            command(admin, "/v1/rollouts", {"service": "test", "canary": {"name": "v2", "endpoints": [f"127.0.0.1:{port}"]}, "retry": True})
        time.sleep(0.2)
    over.set()
    for thread in threads:
        thread.join(30)
    assert not problems, f"{len(problems)} failed: {problems[:3]}"
    assert counts["streams"] >= 8 and counts["calls"] > 0, counts
    print(f"    {shifts} shifts, {counts['streams']} streams with {counts['messages']} messages, {counts['calls']} calls, 0 failed")


def command(admin, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    assert response.status < 300, f"{path}: {response.status} {text}"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(program, folder, ports):
    listen, admin = free_port(), free_port()
    version = '{{version: {0}, endpoints: ["127.0.0.1:{1}"], protocol: http2}}'
    text = f"""
listen: 127.0.0.1:{listen}
admin: 127.0.0.1:{admin}
state: state
workers: 2
services:
  - name: test
    stable: {version.format("v1", ports[0])}
    canary: {version.format("v2", ports[1])}
    gates: ["errors(5xx, connect, reset, invalid) < 30%"]
    plan: {{steps: [{{weight: 50%, hold: 1h}}, {{weight: 100%, hold: 1h}}]}}
"""
    path = pathlib.Path(folder, "portcullis.yaml")
    path.write_text(text)
    child = subprocess.Popen([program, "run", "--config", path], stdout=subprocess.DEVNULL, stderr=pathlib.Path(folder, "log").open("wb"))
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", listen), 1).close()
            return child, listen, admin
        except OSError:
            assert child.poll() is None and time.monotonic() < until, "the program does not listen"
            time.sleep(0.05)


def main(program):
    servers = [serve("v1"), serve("v2")]
    ports, tests = [port for _, _, port in servers], [test for _, test, _ in servers]
    passed, broken = 0, []
    with tempfile.TemporaryDirectory() as folder:
        child, listen, admin = start(program, folder, ports)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{listen}", options=LARGE) as channel:
                cases = Cases(channel)
                checks = [(name, lambda name=name: through_both(getattr(cases, name))) for name in CASES]
                checks += [("deadline", lambda: deadline(cases)), ("cancellation", lambda: cancellation(cases, tests)),
                           ("four_mebibytes", lambda: four_mebibytes(cases)), ("health_check", lambda: health_check(channel)),
                           ("weights_shift", lambda: weights_shift(channel, admin, ports[1]))]
                for name, check in checks:
                    try:
                        check()
                        print(f"ok   {name}", flush=True)
                        passed += name in CASES
                    except Exception as error:
                        print(f"FAIL {name}: {error!r}", flush=True)
                        broken.append(name)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                child.kill()
                broken.append("drain")
    print(f"{passed}/{len(CASES)}")
    sys.stdout.flush()
    os._exit(1 if broken else 0)


if __name__ == "__main__":
    main(sys.argv[1])
