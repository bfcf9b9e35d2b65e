"""What instructions do not tell: CPU time with many connections open, and CPU time and memory with large bodies.

Programs of two sizes take turns, so that the ratio counts and the machine's speed does not.
"""

import contextlib
import math
import re
import resource
import socket
import socketserver
import statistics
import threading
from pathlib import Path

from machine import LOAD_CORE, PROXY_CORE, Process, Trouble, cpu_nanoseconds, free_ports, more, read_answer
from sizes import ANSWER_BYTES, command, get, on_trial

# The noise of a ratio of CPU times, and what each doubling may add.
NOISE, PER_DOUBLING = 0.15, 0.02
MOST_PER_MIB, MOST_WHEN_QUICK = 1.5, 2.5
# How much more memory the largest body may take than the smallest, in KiB.
MOST_GROWTH = 4096
PIECE = b"x" * 65536


def start(place, program, services=None):
    """A proxy, to be entered, and its port."""
    [port] = free_ports(1)
    return Process(f"proxy-{port}", command(place.folder, port, services or [on_trial(place)], program), PROXY_CORE, place.folder), port


class Sink(socketserver.BaseRequestHandler):
    """A version that reads a body to its end before it answers; nginx, asked for a text of its own, does not."""

    def handle(self):
        while head := self.request.recv(65536):
            while (end := head.find(b"\r\n\r\n")) < 0:
                head += more(self.request, head)
            left = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - (len(head) - end - 4)
            while left > 0:
                left -= len(more(self.request, head))
            self.request.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {ANSWER_BYTES}\r\n\r\n".encode() + b"x" * ANSWER_BYTES)


@contextlib.contextmanager
def sink():
    """A server of bodies that nobody keeps; gives its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def of_process(proxy, field):
    """A size of a process in KiB."""
    return int(re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{proxy.popen.pid}/status").read_text(), re.M)[1])


def load(port, seconds, folder):
    """Asks over 64 further connections; returns how many requests were answered."""
    words = ["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    with Process("wrk", words, LOAD_CORE, folder) as process:
        process.log.write_text("")
        process.popen.wait(seconds + 20)
        text = process.log.read_text()
    requests = re.search(r"(\d+) requests in", text)
    if not requests or "Socket errors" in text or "Non-2xx" in text:
        raise Trouble(f"the load did not run clean:\n{text}")
    return int(requests[1])


def connections(place, program, quick):
    """connections open that have been used once, beside 64 under load"""
    # The proxy takes one connection for each two of four fifths of the descriptors it may open.
    most = min(9500, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 2 // 5 - 100)
    sizes, turns = ((1, 500), 3) if quick else ((1, 100, 1000, most), 7)
    rows, found = [], []
    print(f"\n{'connections':>12}{'µs/request':>12}{'ratio':>8}{'KiB each':>10}   (CPU; {turns} turns each beside one with {sizes[0]})")
    for size in sizes[1:]:
        (base, base_port), (large, large_port) = start(place, program), start(place, program)
        with base as few, large as many:
            for proxy, port in ((few, base_port), (many, large_port)):
                proxy.wait_for(port)
                load(port, 1, place.folder)
            before, clients = of_process(many, "VmRSS"), [opened(base_port)]
            clients += [opened(large_port) for _ in range(size)]
            each = (of_process(many, "VmRSS") - before) / size
            spent = {few: [], many: []}
            for at in range(turns):
                for proxy, port in ((few, base_port), (many, large_port))[:: 1 if at % 2 else -1]:
                    start_ns = cpu_nanoseconds(proxy.popen.pid)
                    asked = load(port, 1, place.folder)
                    spent[proxy].append((cpu_nanoseconds(proxy.popen.pid) - start_ns) / asked / 1e3)
            for client in clients:
                client.close()
        ratio = statistics.median(b / a for a, b in zip(spent[few], spent[many], strict=True))
        rows.append({"size": size, "cpu_us": statistics.median(spent[many]), "ratio": ratio, "kib_each": each})
        print(f"{size:>12,}{rows[-1]['cpu_us']:>12.2f}{ratio:>8.3f}{each:>10.1f}", flush=True)
        allowed = 1 + NOISE + PER_DOUBLING * math.log2(size)
        if ratio > allowed:
            found.append(f"connections: a request costs {ratio:.2f} times as much beside {size} as beside 1; allowed is {allowed:.2f}")
    return rows, found


def opened(port):
    """A connection that has been used once."""
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.sendall(get("bench.test"))
    read_answer(client, ANSWER_BYTES)
    return client


def exchange(client, mebibytes, up):
    """Sends or receives a body."""
    if up:
        client.sendall(f"POST / HTTP/1.1\r\nHost: bench.test\r\nContent-Length: {mebibytes << 20}\r\n\r\n".encode())
        for _ in range(mebibytes << 4):
            client.sendall(PIECE)
        return read_answer(client, ANSWER_BYTES)
    # A large answer is a part of one file.
    client.sendall(get("bench.test", "/large", [f"Range: bytes=0-{(mebibytes << 20) - 1}"]))
    read_answer(client, mebibytes << 20, 206)


def transfer(proxy, port, size, total, up):
    """CPU of the proxy for each MiB, in microseconds, of so many MiB in bodies of a size."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        exchange(client, 1, up)
        before = cpu_nanoseconds(proxy.popen.pid)
        for _ in range(total // size):
            exchange(client, size, up)
        return (cpu_nanoseconds(proxy.popen.pid) - before) / total / 1e3


def bodies(place, program, quick):
    """MiB of a body, up and down"""
    sizes, total, turns = ((1, 20), 20, 3) if quick else ((1, 10, 100), 100, 5)
    rows, found = [], []
    print(f"\n{'body':>12}{'MiB':>6}{'µs/MiB':>10}{'ratio':>8}{'peak KiB':>10}   (CPU of the proxy; {turns} turns of {total} MiB each)")
    for way in ("up", "down"):
        spent, peak = {size: [] for size in sizes}, {}
        with sink() as taker:
            services = [{"name": "bodies", "stable": place.version(port=taker if way == "up" else place.stable)}]
            for size in list(sizes) * turns:
                process, port = start(place, program, services)
                with process as proxy:
                    proxy.wait_for(port)
                    cost = transfer(proxy, port, size, total, way == "up")
                    spent[size].append(cost)
                    peak[size] = max(peak.get(size, 0), of_process(proxy, "VmHWM"))
        for size in sizes:
            ratio = statistics.median(own / base for own, base in zip(spent[size], spent[sizes[0]], strict=True))
            rows.append({"way": way, "size": size, "cpu_us_per_mib": statistics.median(spent[size]), "ratio": ratio, "peak_kib": peak[size]})
            print(f"{way:>12}{size:>6}{rows[-1]['cpu_us_per_mib']:>10.0f}{ratio:>8.3f}{peak[size]:>10,}", flush=True)
            if ratio > (MOST_WHEN_QUICK if quick else MOST_PER_MIB):
                found.append(f"bodies: a MiB {way} costs {ratio:.2f} times as much in a body of {size} MiB as in one of {sizes[0]}")
            if peak[size] > peak[sizes[0]] + MOST_GROWTH:
                found.append(f"bodies: a body of {size} MiB {way} takes {peak[size] - peak[sizes[0]]:,} KiB more than one of {sizes[0]} MiB")
    return rows, found


BULK = {"connections": connections, "bodies": bodies}
