"""What is asked of every proxy, by wrk over HTTP/1.1 and by h2load over HTTP/2, and the goals for the cost of it."""

import re
from pathlib import Path

from machine import LOAD_CORE, Process, Trouble

CONNECTIONS = 64
# Over HTTP/2: so many connections with so many streams each.
H2_CONNECTIONS, STREAMS = 16, 8
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class Workload:
    """A kind of request, and what is spoken in front of the proxy and behind it."""

    def __init__(self, title, *, front="h1", back="h1", tls=False, answer_bytes=1024, body_bytes=0, close=False, goals=None):
        self.title, self.front, self.back, self.tls = title, front, back, tls
        self.answer_bytes, self.body_bytes, self.close = answer_bytes, body_bytes, close
        # The most that our CPU time per request may be, as a ratio to each peer's.
        self.goals = goals or {}

    def url(self, port):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}/"

    def load(self, port, seconds, folder):
        """Sends as much as the proxy takes, for some seconds. Any failed request is an error."""
        return (wrk if self.front == "h1" else h2load)(self, port, seconds, folder)

    def warm(self, port, folder, requests=3000, patience=20):
        """Sends a number of requests, so that pools are filled and code is in the caches."""
        h1 = ["--h1", f"-c{CONNECTIONS}"] if self.front == "h1" else [f"-c{H2_CONNECTIONS}", f"-m{STREAMS}"]
        run("warm-up", ["h2load", "-t1", f"-n{requests}", *h1, self.url(port)], patience, folder)

    def body_file(self, folder):
        path = Path(folder) / "body"
        if not path.exists():
            path.write_text("x" * self.body_bytes)
        return path


def run(name, command, most_seconds, folder):
    """Runs a load to its end and returns what it printed."""
    with Process(name, command, LOAD_CORE, folder) as process:
        process.log.write_text("")
        code = process.popen.wait(most_seconds)
        text = process.log.read_text()
    if code != 0:
        raise Trouble(f"{' '.join(map(str, command))} ended with {code}:\n{text[-2000:]}")
    return text


def wrk(workload, port, seconds, folder):
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    if workload.close:
        command += ["-H", "Connection: close"]
    if workload.body_bytes:
        script = Path(folder) / "post.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {workload.body_bytes})\n')
        command += ["-s", script]
    text = run("wrk", [*command, workload.url(port)], seconds + 20, folder)
    requests = re.search(r"(\d+) requests in ([\d.]+)(ms|s)", text)
    if not requests or "Socket errors" in text or "Non-2xx" in text:
        raise Trouble(f"the load did not run clean:\n{text}")
    latency = {share: re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s)$", text, re.M) for share in (50, 99)}
    return {
        "requests": int(requests[1]),
        "requests_per_second": int(requests[1]) / (float(requests[2]) * UNITS[requests[3]]),
        **{f"p{share}_seconds": float(found[1]) * UNITS[found[2]] for share, found in latency.items() if found},
    }


def h2load(workload, port, seconds, folder):
    command = ["h2load", "-t1", f"-c{H2_CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}", workload.url(port)]
    text = run("h2load", command, seconds + 20, folder)
    counted = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    speed = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
    if not counted or not speed or counted[1] != counted[2] or any(int(counted[at]) for at in (3, 4, 5)):
        raise Trouble(f"the load did not run clean:\n{text}")
    return {"requests": int(counted[1]), "requests_per_second": float(speed[1])}


def at_rate(workload, port, rate, seconds, folder):
    """Sends at a fixed rate; returns the latencies in seconds of each tenth of a second in which all connections were there, sorted.

    h2load lets each connection send every 10 ms what has come due, one request after another. The connections come a millisecond
    after each other, so that they do not all send in the same one.
    """
    log = Path(folder) / "latencies.tsv"
    log.unlink(missing_ok=True)
    connections, speaks = (CONNECTIONS, ["--h1"]) if workload.front == "h1" else (H2_CONNECTIONS, [f"-m{STREAMS}"])
    each = max(1, round(rate / connections))
    command = ["h2load", *speaks, "-t1", f"-c{connections}", f"-n{each * connections * seconds}", f"--rps={each}", "-r1", "--rate-period=1ms"]
    run("rate", [*command, f"--log-file={log}", workload.url(port)], seconds + 20, folder)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    if any(row[1] != "200" for row in rows):
        raise Trouble(f"at {rate:.0f} requests per second some were not answered with 200")
    begun = min(int(row[0]) for row in rows)
    windows = [[] for _ in range(seconds * 10)]
    for started, _, took in rows:
        window = (int(started) - begun) // 100_000
        if window < len(windows):
            windows[window].append(int(took) / 1e6)
    # In the first one they come; the last one has a part only.
    return [sorted(window) for window in windows[1:-1] if window]


WORKLOADS = {
    "h1-1k": Workload("HTTP/1.1, keep-alive, answers of 1 KiB", goals={"haproxy": 0.85, "nginx": 0.85, "envoy": 0.42, "pingora": 0.55}),
    "h1-100k": Workload(
        "HTTP/1.1, keep-alive, answers of 100 KiB",
        answer_bytes=100 * 1024,
        goals={"haproxy": 0.70, "nginx": 0.85, "envoy": 0.60, "pingora": 0.60},
    ),
    "post-10k": Workload(
        "HTTP/1.1, keep-alive, requests of 10 KiB", body_bytes=10 * 1024, goals={"haproxy": 0.85, "nginx": 0.85, "envoy": 0.45, "pingora": 0.45}
    ),
    "h1-close": Workload(
        "HTTP/1.1, a new connection for each request", close=True, goals={"haproxy": 0.95, "nginx": 1.05, "envoy": 0.65, "pingora": 0.80}
    ),
    "h2c-h1": Workload("HTTP/2 in clear, to HTTP/1.1", front="h2", goals={"haproxy": 1.05, "nginx": 0.60, "envoy": 0.45, "pingora": 0.50}),
    "h2c-h2c": Workload(
        "HTTP/2 in clear, to HTTP/2 in clear", front="h2", back="h2", goals={"haproxy": 1.05, "nginx": 0.45, "envoy": 0.55, "pingora": 0.55}
    ),
    "tls-h1": Workload("HTTP/1.1 over TLS, keep-alive", tls=True, goals={"haproxy": 0.80, "nginx": 0.90, "envoy": 0.50, "pingora": 0.60}),
    "tls-h2": Workload("HTTP/2 over TLS", front="h2", tls=True, goals={"haproxy": 1.05, "nginx": 0.90, "envoy": 0.55, "pingora": 0.55}),
}
