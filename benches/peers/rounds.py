"""Rounds in which the proxies take turns, and what is measured beside the CPU time of a request."""

import math
import re
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path

import proxies
from machine import LOAD_CORE, PROXY_CORE, Process, Trouble, busy_seconds, free_ports, read_answer, system_calls
from workloads import WORKLOADS, at_rate

MOST_FOREIGN_LOAD = 0.10
IDLE_CONNECTIONS = 3200
# Portcullis takes 1,000 from one address, unless told otherwise.
FROM_ONE_ADDRESS = 800
STARTS = 5
# Some draw by chance: of 400 requests one in a million lots is further off.
SHARE_TOLERANCE = 0.08
# Of all tenths of a second.
QUIET_SHARE = 0.6


class Bench:
    """What all measurements of one workload share: the upstreams' ports, the folder and the setting of the proxies."""

    def __init__(self, workload, ports, setting, folder):
        self.workload, self.ports, self.setting, self.folder = workload, ports, setting, folder

    def upstreams(self):
        """The upstreams, to be entered."""
        return Process("upstreams", proxies.upstreams(self.folder, self.workload, *self.ports), LOAD_CORE, self.folder)

    def command(self, name, port):
        """A proxy's command with a fresh copy of its program, because where its pages lie decides what it costs."""
        program, *words = proxies.command(name, self.folder, (port, *self.ports), self.setting)
        copy = Path(self.folder) / f"program-{name}"
        copy.unlink(missing_ok=True)
        shutil.copy(shutil.which(program) or program, copy)
        return [copy, *words]

    def start(self, name):
        """A proxy, to be entered, and its port."""
        [port] = free_ports(1)
        return Process(name, self.command(name, port), PROXY_CORE, self.folder), port


def check_split(bench, name, port, requests=400):
    """Asks for some answers and holds that they are whole and that the canary gave its share of them."""
    workload = bench.workload
    if workload.front == "h2":
        # curl 7.88 cannot use a connection twice where HTTP/2 is known in advance.
        command = ["nghttp", "-nv", "--no-dep", "-m", str(requests // 4), workload.url(port)]
        text = "".join(subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout for _ in range(4))
        found = lambda field: re.findall(rf"recv \(stream_id=\d+\) {field}: (\S+)", text)
        whole_ones = min(found(":status").count("200"), found("content-length").count(str(workload.answer_bytes)))
        versions, told = found("x-version"), text[-600:]
    else:
        command = ["curl", "-s", "-k", "--http1.1", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %header{x-version}\n"]
        if workload.body_bytes:
            command += ["--data-binary", f"@{workload.body_file(bench.folder)}", "-H", "Expect:"]
        done = subprocess.run([*command, f"{workload.url(port)}?[1-{requests}]"], capture_output=True, text=True, timeout=30, check=False)
        answers = [line.split() for line in done.stdout.splitlines()]
        whole_ones = [answer[:2] for answer in answers].count(["200", str(workload.answer_bytes)])
        versions, told = [answer[-1] for answer in answers], done.stdout[-200:] + done.stderr[-200:]
    if whole_ones != requests:
        raise Trouble(f"{name} gave {whole_ones} of {requests} answers whole:\n{told}")
    share = versions.count("b") / requests
    # The pipe splits connections, not requests.
    if name != "pipe" and abs(share - proxies.CANARY_SHARE) > SHARE_TOLERANCE:
        raise Trouble(f"{name} gave the canary {share:.1%} of the requests instead of {proxies.CANARY_SHARE:.0%}")


def cost(bench, name, seconds):
    """Starts one proxy, warms it, and measures its CPU time over one run of the load."""
    process, port = bench.start(name)
    with process as proxy:
        proxy.wait_for(port)
        idle_kib = proxy.resident_kib()
        check_split(bench, name, port)
        bench.workload.warm(port, bench.folder)
        (user, system), busy = proxy.cpu_parts(), busy_seconds(PROXY_CORE)
        result = bench.workload.load(port, seconds, bench.folder)
        (user_after, system_after), busy = proxy.cpu_parts(), busy_seconds(PROXY_CORE) - busy
        user, cpu = user_after - user, user_after - user + system_after - system
        return {
            **result,
            "cpu_us_per_request": cpu / result["requests"] * 1e6,
            "user_us_per_request": user / result["requests"] * 1e6,
            "foreign_load": (busy - cpu) / cpu,
            "rss_idle_kib": idle_kib,
            "rss_loaded_kib": proxy.resident_kib(),
        }


def run_rounds(bench, names, wanted, seconds):
    """Runs rounds until enough are clean. Returns the clean rounds and what was thrown away."""
    clean, thrown = [], []
    while len(clean) < wanted and len(thrown) <= wanted:
        turn = len(clean) + len(thrown)
        # Who goes first changes, so that nobody always runs on the cooler machine.
        order = names[turn % len(names) :] + names[: turn % len(names)]
        results = {name: cost(bench, name, seconds) for name in order}
        foreign = {name: result["foreign_load"] for name, result in results.items() if result["foreign_load"] > MOST_FOREIGN_LOAD}
        figures = "  ".join(f"{name} {results[name]['cpu_us_per_request']:.2f}" for name in names)
        if foreign:
            shown = ", ".join(f"{load:.0%} beside {name}" for name, load in foreign.items())
            print(f"round {turn + 1}: thrown away, core {PROXY_CORE} had foreign load: {shown}   ({figures})", flush=True)
            thrown.append({"foreign_load": foreign})
        else:
            print(f"round {turn + 1}: µs per request: {figures}", flush=True)
            clean.append(results)
    return clean, thrown


def summarise(names, rounds):
    """Figures per proxy: least, median and most CPU time, and the median of its per-round ratios to each other one."""
    summary = {}
    for name in names:
        cpu = [results[name]["cpu_us_per_request"] for results in rounds]
        kept = [key for key in ("user_us_per_request", "requests_per_second", "p50_seconds", "p99_seconds", "rss_idle_kib", "rss_loaded_kib") if key in rounds[0][name]]
        summary[name] = {
            "cpu_us_per_request": {"min": min(cpu), "median": statistics.median(cpu), "max": max(cpu)},
            "ratio_to": {
                other: statistics.median(results[name]["cpu_us_per_request"] / results[other]["cpu_us_per_request"] for results in rounds)
                for other in names
                if other != name
            },
            **{key: statistics.median(results[name][key] for results in rounds) for key in kept},
        }
    return summary


def bounds_of_median(values):
    """Bounds of the true median with 95 % confidence: order statistics whose ranks follow from the binomial distribution; None of few."""
    ranked, n = sorted(values), len(values)
    below = 0.0
    for rank in range(n // 2):
        below += math.comb(n, rank) / 2**n
        if below > 0.025:
            return (ranked[rank - 1], ranked[n - rank]) if rank > 0 else None
    return None


# --- beside the cost of a request: latency at half load, memory of idle connections, time to serving, system calls ----


def at(ranked, share):
    """The value that this share of the sorted ones does not exceed."""
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def quiet(tenths):
    """All latencies of the quietest tenths of a second, sorted: of those with the least p99.9."""
    kept = sorted(tenths, key=lambda tenth: at(tenth, 0.999))[: max(1, int(len(tenths) * QUIET_SHARE))]
    return sorted(took for tenth in kept for took in tenth)


def latencies(bench, names, rate, rounds, seconds):
    """p50 and p99 at a fixed rate, over rounds in which the proxies take turns.

    They are those of a tenth of a second, the median of all tenths: on a machine that is not alone, something stops everybody for
    some milliseconds about once a second, and the requests of these moments are just about one in a hundred. What a proxy itself
    does by the clock it does in every tenth. The p99 of a whole turn is told too, as the median over the turns. The p99 of one tenth
    rests on the few slowest of some hundred or thousand requests; finer is that of all requests of the quietest tenths in one pool.
    """
    found = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            process, port = bench.start(name)
            with process as proxy:
                proxy.wait_for(port)
                bench.workload.warm(port, bench.folder)
                found[name].append(at_rate(bench.workload, port, rate, seconds, bench.folder))
    told = {}
    for name, turns in found.items():
        tenths = [tenth for turn in turns for tenth in turn]
        whole = [sorted(took for tenth in turn for took in tenth) for turn in turns]
        told[name] = {f"p{share}_seconds": statistics.median(at(tenth, share / 100) for tenth in tenths) for share in (50, 99)}
        told[name]["p99_whole_seconds"] = statistics.median(at(turn, 0.99) for turn in whole)
        told[name]["p99_seconds_of_turns"] = [statistics.median(at(tenth, 0.99) for tenth in turn) for turn in turns]
        pool = quiet(tenths)
        told[name]["quiet_seconds"] = {f"p{share}": at(pool, share / 100) for share in (50, 90, 99, 99.9)}
        told[name]["quiet_p99_seconds_of_turns"] = [at(quiet(turn), 0.99) for turn in turns]
    return told


def idle_connection(bench, name):
    """Bytes of resident memory for each idle keep-alive connection that has been used once."""
    process, port = bench.start(name)
    with process as proxy:
        proxy.wait_for(port)
        bench.workload.warm(port, bench.folder)
        before = proxy.resident_kib()
        with Clients(port) as clients:
            for client in clients.open(IDLE_CONNECTIONS):
                client.sendall(b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n")
                read_answer(client, bench.workload.answer_bytes)
            return (proxy.resident_kib() - before) * 1024 / IDLE_CONNECTIONS


class Clients:
    """Connections that are kept open until the block ends."""

    def __init__(self, port):
        self.port, self.opened = port, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.opened:
            each.close()

    def open(self, count):
        for _ in range(count):
            source = f"127.0.0.{2 + len(self.opened) // FROM_ONE_ADDRESS}"
            self.opened.append(socket.create_connection(("127.0.0.1", self.port), 5, (source, 0)))
            yield self.opened[-1]


def time_to_serving(bench, name):
    """Seconds from the start of the program to the first whole answer: the median of some starts."""
    times = []
    for _ in range(STARTS):
        process, port = bench.start(name)
        begun = time.perf_counter()
        with process as proxy:
            while not answers(port, bench.workload.answer_bytes):
                if time.perf_counter() - begun > 10:
                    raise Trouble(f"{name} does not serve within ten seconds:\n{proxy.log.read_text()[-2000:]}")
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def answers(port, body_bytes):
    """Whether the port answers now."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n")
            read_answer(client, body_bytes)
            return True
    except (OSError, Trouble):
        return False


def calls(bench, name):
    """System calls per request."""
    process, port = bench.start(name)
    with process as proxy:
        proxy.wait_for(port)
        bench.workload.warm(port, bench.folder)
        return system_calls(proxy, lambda: bench.workload.load(port, 1, bench.folder)["requests"], bench.folder)


def beside(bench, names, rate, rounds, seconds):
    """Everything but the cost, for HTTP/1.1 with answers of 1 KiB."""
    assert bench.workload is WORKLOADS["h1-1k"]
    found = latencies(bench, names, rate, rounds, seconds)
    for name in names:
        found[name] |= {
            "idle_connection_bytes": idle_connection(bench, name),
            "serving_seconds": time_to_serving(bench, name),
            "system_calls_per_request": calls(bench, name),
        }
    return found
