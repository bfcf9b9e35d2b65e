"""Judges carts by what a real Prometheus has scraped of it, by the seed's gate file as it was published.

Stage dev runs 0.8.1, staging the slow 0.8.2, and production a 0.8.1 that nobody uses. The names of the jobs are those that the
files of the seed and of keptn's demo ask for.
"""

import concurrent.futures
import datetime
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

COMPAT = pathlib.Path("tests/data/compat")
TAGS = {"dev": "0.8.1", "staging": "0.8.2", "production": "0.8.1"}
POSTS = {"dev": 20, "staging": 4}
ITEM = b'{"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","unitPrice":"99.99"}'
WITHIN = 55
# The limit of the demo's quality gate, without the part that needs an earlier run.
SLO = """spec_version: '1.0'
objectives:
  - sli: response_time_p95
    pass:
      - criteria: ["<600"]
total_score:
  pass: "90%"
  warning: "75%"
"""


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def until(what, holds):
    """Waits for a condition; the alarm set by main ends a wait that never will."""
    while True:
        try:
            if holds():
                return
        except (OSError, urllib.error.URLError):
            pass  # Not there yet.
        if (ended := [name for name, child in CHILDREN if child.poll() is not None]):
            raise SystemExit(f"{', '.join(ended)} ended while waiting for {what}")
        time.sleep(0.05)


CHILDREN = []


def start(name, command, **options):
    child = subprocess.Popen(command, **options)
    CHILDREN.append((name, child))
    return child


def stop():
    for _, child in CHILDREN:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for _, child in CHILDREN:
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def carts(program, tag):
    child = start(f"carts {tag}", [program, "carts", "--tag", tag], stdout=subprocess.PIPE, text=True)
    return child.stdout.readline().removeprefix("listening on ").strip()


def prometheus(folder, places, path="/prometheus", job="carts-sockshop-{}"):
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": job.format(stage), "metrics_path": path, "static_configs": [{"targets": [place]}]}
            for stage, place in places.items()
        ],
    }
    file = folder / "prometheus.json"
    file.write_text(json.dumps(config))  # JSON is YAML.
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    start("prometheus", command, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"))
    return f"http://127.0.0.1:{port}"


def values(server, query, **more):
    answer = json.loads(get(f"{server}/api/v1/query?{urllib.parse.urlencode({'query': query, **more})}"))
    return [float(one["value"][1]) for one in answer["data"]["result"]]


def post(place, count):
    """Puts items into a cart, up to four at a time."""
    def one(_):
        request = urllib.request.Request(f"http://{place}/carts/1/items", ITEM, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(one, range(count)))
    if statuses != [201] * count:
        raise SystemExit(f"carts at {place} answered {statuses}")


def scraped(server, stage):
    """How many POSTs of a stage Prometheus knows of, by both histograms."""
    job = f"job='carts-sockshop-{stage}'"
    handler = f"http_response_time_milliseconds_count{{{job},handler='ItemsController.addToCart'}}"
    return values(server, f"requests_latency_seconds_count{{{job}}}") + values(server, handler)


def evaluate(program, file, server, stage, window, mode, *more):
    start, end = (datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") for at in window)
    command = [program, "evaluate", file, "--compat", mode, "--prometheus", server, "--project", "sockshop", "--stage", stage]
    command += ["--service", "carts", "--start", start, "--end", end, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if done.returncode == 2:
        raise SystemExit(f"{command}: {done.stderr}")
    return done.returncode, json.loads(done.stdout)["result"], done.stdout + done.stderr


def main(program):
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"it took more than {WITHIN} s"))
    signal.alarm(WITHIN)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            return judge(program, folder)
        except BaseException:
            log = folder / "log"
            print(log.read_text()[-2000:] if log.exists() else "", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
            stop()


def judge(program, folder):
    begun = int(time.time())
    places = {stage: carts(program, tag) for stage, tag in TAGS.items()}
    server = prometheus(folder, places)
    until("Prometheus", lambda: get(f"{server}/-/ready"))
    until("every carts to be up", lambda: values(server, "up") == [1] * len(places))
    # The first POST makes the series of the second histogram; a rate needs to see it grow.
    for stage in POSTS:
        post(places[stage], 1)
    for stage in POSTS:
        until(f"the first POST to {stage}", lambda: scraped(server, stage) == [1, 1])
    for stage, count in POSTS.items():
        post(places[stage], count)
    for stage, count in POSTS.items():
        until(f"all POSTs to {stage}", lambda: scraped(server, stage) == [count + 1] * 2)
    window = (begun, int(time.time()) + 1)

    gate, sli = str(COMPAT / "perfspec_prometheus.json"), str(COMPAT / "sli-prometheus.yaml")
    slo = folder / "slo.yaml"
    slo.write_text(SLO)
    nobody = f"http://127.0.0.1:{free_port()}"
    wanted = [
        (gate, server, "dev", "strict", 0, "pass"),
        (gate, server, "dev", "keptn", 0, "pass"),
        (gate, server, "staging", "strict", 3, "fail"),
        (gate, server, "staging", "keptn", 3, "fail"),
        # Nobody used it: 0/0 is NaN, and the original took that for a pass.
        (gate, server, "production", "strict", 4, "inconclusive"),
        (gate, server, "production", "keptn", 0, "pass"),
        (gate, server, "nowhere", "strict", 4, "inconclusive"),
        (gate, server, "nowhere", "keptn", 3, "fail"),
        (gate, nobody, "dev", "strict", 4, "inconclusive"),
        (gate, nobody, "dev", "keptn", 3, "failed"),
        (str(slo), server, "dev", "strict", 0, "pass"),
        (str(slo), server, "dev", "keptn", 0, "pass"),
        (str(slo), server, "staging", "strict", 3, "fail"),
        (str(slo), server, "staging", "keptn", 3, "fail"),
    ]
    right = 0
    for file, source, stage, mode, code, result in wanted:
        more = ["--sli", sli] if file == str(slo) else []
        found = evaluate(program, file, source, stage, window, mode, *more)
        if found[:2] == (code, result):
            right += 1
        else:
            print(f"{file} {stage} {mode}: exit code {found[0]} and {found[1]}, not {code} and {result}\n{found[2]}", file=sys.stderr)
    print(f"{right}/{len(wanted)} verdicts by a real Prometheus, {time.time() - begun:.0f} s")
    return 0 if right == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
