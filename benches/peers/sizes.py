"""The ways in which work grows: for each the configuration of a size, and what is asked of it.

A dimension has sizes from small to large. Its requests are spread over all that the size brings, so that no lucky place is measured.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import proxies
from machine import Trouble, free_ports

ANSWER_BYTES = 1024
# Endpoints have addresses of their own of the loopback network, from 127.0.1.1 on, and one port.
MOST_ENDPOINTS = 1000
FORCE = "x-portcullis-version"


def address(number):
    """The address of an endpoint, from 0."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


def upstreams(folder, stable, canary, many):
    """An nginx with both versions' ports, and one that has an address for each endpoint."""
    files = Path(folder) / "answers"
    files.mkdir(exist_ok=True)
    files.chmod(0o755)
    (files / "large").write_bytes(b"x" * (100 << 20))
    listens = "\n".join(f"listen {address(number)}:{many} backlog=64;" for number in range(MOST_ENDPOINTS))
    small = f'location / {{ return 200 "{"x" * ANSWER_BYTES}"; }} location /large {{ root {files}; }}'
    # One in ten endpoints passes its check.
    ready = "location /ready { if ($server_addr ~ [.][1-9]?1$) { return 200; } return 503; }"
    servers = [
        f"server {{ listen 127.0.0.1:{stable} backlog=1024; {small} }}",
        f"server {{ listen 127.0.0.1:{canary} backlog=1024; {small} }}",
        f"server {{ {listens} {ready} {small} }}",
    ]
    return proxies.nginx("upstreams", folder, "\n".join(servers))


class Dimension:
    """Something that grows."""

    # What is counted besides instructions per request: the work of a tick.
    ticks = False
    # What the cost is judged by: "logarithm" of the size, or "each", which is linear in what a request carries itself.
    judged = "logarithm"
    # The rounds of the short and the long run.
    rounds = (25, 75)

    def __init__(self, title, sizes, quick):
        self.title, self.sizes, self.quick = title, sizes, quick

    def config(self, size, place):
        """The services of a size; `place` names the upstreams."""
        raise NotImplementedError

    def request(self, size, number, place):
        """The request with this number, from 0."""
        return get("bench.test")

    def target(self, size, number):
        """Which of so many a request is for: 64 of them, evenly spread, the last among them."""
        return (number % 64) * (size - 1) // 63


class Place:
    """Where the upstreams are, and where files may lie; the answer to what must be asked once of a running configuration."""

    def __init__(self, folder):
        self.folder = folder
        self.stable, self.canary, self.many = free_ports(3)
        self.key = Path(folder) / "bench.key"
        self.key.write_text("0123456789abcdef" * 4)
        self.key.chmod(0o600)
        self.tokens = {}

    def version(self, name="a", port=None, **more):
        return {"version": name, "endpoints": [f"127.0.0.1:{port or self.stable}"], **more}

    def keys(self):
        return [{"id": "k", "file": str(self.key)}]


def get(host, path="/", fields=()):
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode()


def on_trial(place, **more):
    """A service whose canary has half of the requests, for longer than any measurement."""
    plan = {"steps": [{"weight": "50%", "hold": "1h"}, {"weight": "100%", "hold": "1m"}]}
    gates = {"gates": ["p95 < 5s"]}
    return {"name": "split", "stable": place.version(), "canary": place.version("b", place.canary), "plan": plan, **gates, **more}


class Services(Dimension):
    ticks = True

    def config(self, size, place):
        return [{"name": f"s{at}", "hosts": [f"s{at}.t"], "stable": place.version()} for at in range(size)]

    def request(self, size, number, place):
        return get(f"s{self.target(size, number)}.t")


class Routes(Dimension):
    ticks = True

    def config(self, size, place):
        routes = [{"path": f"/r{at}/items"} for at in range(size)]
        return [{"name": "split", "routes": routes, "stable": place.version()}]

    def request(self, size, number, place):
        return get("bench.test", f"/r{self.target(size, number)}/items/7")


class Alike(Dimension):
    """Routes of one host and path, which only a field tells apart."""

    def config(self, size, place):
        routes = [{"path": "/items", "headers": [f"x-tenant: t{at}"]} for at in range(size)]
        return [{"name": "split", "routes": routes, "stable": place.version()}]

    def request(self, size, number, place):
        return get("bench.test", "/items", [f"x-tenant: t{self.target(size, number)}"])


class Versions(Dimension):
    """Versions beside stable and canary, each of them forced in its turn."""

    ticks = True

    def config(self, size, place):
        others = [place.version(f"v{at}") for at in range(size)]
        return [{"name": "split", "stable": place.version(), "others": others, "force": {"keys": place.keys()}}]

    def request(self, size, number, place):
        return get("bench.test", fields=[f"{FORCE}: {place.tokens[self.target(size, number)]}"])

    def prepare(self, size, place, config, program):
        """Makes a token for each version that is asked for."""
        for at in {self.target(size, number) for number in range(64)}:
            words = [program, "token", "--config", config, "--service", "split", "--version", f"v{at}", "--rollout", "0"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                raise Trouble(f"{program} token ended with {done.returncode}:\n{done.stderr[-1000:]}")
            place.tokens[at] = done.stdout.strip()


class Gates(Dimension):
    ticks = True

    def __init__(self, title, sizes, quick, gate):
        super().__init__(title, sizes, quick)
        self.gate = gate

    def config(self, size, place):
        return [on_trial(place, gates=["errors < 1%", *(self.gate(at) for at in range(1, size))])]


class Endpoints(Dimension):
    ticks = True
    # Each endpoint has a connection before the count begins.
    rounds = (150, 200)

    def __init__(self, title, sizes, quick, health=None):
        super().__init__(title, sizes, quick)
        self.health = {"health": health} if health else {}

    def config(self, size, place):
        version = {"version": "a", "endpoints": [f"{address(at)}:{place.many}" for at in range(size)], **self.health}
        return [{"name": "split", "stable": version}]


class StickyKeys(Dimension):
    """Users that stay where they were, by a key that their requests carry."""

    def config(self, size, place):
        return [on_trial(place, sticky={"key": "header x-user", "keys": place.keys()})]

    def request(self, size, number, place):
        return get("bench.test", fields=[f"x-user: user-{number * 7919 % size:05}"])


class Fields(Dimension):
    judged = "each"

    def __init__(self, title, sizes, quick, nominated=False):
        super().__init__(title, sizes, quick)
        self.nominated = nominated

    def config(self, size, place):
        return [on_trial(place)]

    def request(self, size, number, place):
        # One is the host.
        names = [f"x-field-{at:02}" for at in range(size - 1 - self.nominated)]
        nomination = [f"Connection: {', '.join(names)}"] if self.nominated else []
        return get("bench.test", fields=nomination + [f"{name}: some-value" for name in names])


DIMENSIONS = {
    "services": Services("services, each with a host of its own", (1, 10, 100, 1000, 3000), (1, 1000)),
    "routes": Routes("routes of one service, by path", (1, 10, 100, 1000, 10000), (1, 1000)),
    "alike": Alike("routes of one path, by a field", (1, 10, 100), (1, 100)),
    "versions": Versions("versions that a token forces", (1, 10, 100, 1000), (1, 100)),
    "wired": Gates("gates with a tripwire", (1, 4, 16), (1, 16), lambda at: f"p{50 + at} < {5000 + 10 * at}ms"),
    "gates": Gates("gates without a tripwire", (1, 10, 50), (1, 50), lambda at: f"apdex({500 + 10 * at}ms) > 0.{90 - at:02}"),
    "endpoints": Endpoints("endpoints", (1, 10, 100, 1000), (1, 100)),
    "unready": Endpoints(
        "endpoints of which one in ten is ready", (10, 100, 1000), (10, 500), {"path": "/ready", "interval": "60s", "healthy": 1, "timeout": "5s"}
    ),
    "sticky": StickyKeys("users with a key of their own", (1, 100, 10000), (1, 10000)),
    "headers": Fields("fields of a request", (5, 25, 50, 100), (5, 100)),
    "nominated": Fields("fields that belong to the connection alone", (5, 25, 50, 100), (5, 100), nominated=True),
}


def command(folder, port, services, program, workers=1):
    """The command of the program with these services."""
    config = {
        "listen": [f"127.0.0.1:{port}"],
        "admin": f"127.0.0.1:{free_ports(1)[0]}",
        "state": tempfile.mkdtemp(prefix="state-", dir=folder),
        "workers": workers,
        "limits": {"connections_per_source": "off"},
        "services": services,
    }
    path = Path(tempfile.mkstemp(prefix="portcullis-", suffix=".yaml", dir=folder)[1])
    # JSON is YAML; without spaces ten thousand services fit into a file.
    path.write_text(json.dumps(config, separators=(",", ":")))
    return [program, "run", path]
