"""Lets a real Prometheus scrape the proxy and evaluates what Flagger and Argo Rollouts ask, word for word, against the proxy's own figures.

The queries are those of Flagger's built-in metrics (`pkg/metrics/observers/{istio,linkerd}.go`) with its placeholders filled in, and of the
example in Argo's documentation ("Analysis & Progressive Delivery"). The exposition is linted by promtool as well.
"""

import concurrent.futures
import http.client
import http.server
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from judged import get, prometheus, start, stop, until, values

WITHIN = 120
REQUESTS = 3000
NEAR = 0.01  # 1 %

FLAGGER = {
    "istio": {
        "request-success-rate": """sum( rate( istio_requests_total{ reporter="destination", destination_workload_namespace="{{ namespace }}",
            destination_workload=~"{{ target }}", response_code!~"5.*" }[{{ interval }}] ) ) / sum( rate( istio_requests_total{
            reporter="destination", destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}" }[{{ interval }}] ) )
            * 100""",
        "request-duration": """histogram_quantile( 0.99, sum( rate( istio_request_duration_milliseconds_bucket{ reporter="destination",
            destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}" }[{{ interval }}] ) ) by (le) )""",
    },
    "linkerd": {
        "request-success-rate": """sum( rate( response_total{ namespace="{{ namespace }}", deployment=~"{{ target }}",
            classification!="failure", direction="inbound" }[{{ interval }}] ) ) / sum( rate( response_total{ namespace="{{ namespace }}",
            deployment=~"{{ target }}", direction="inbound" }[{{ interval }}] ) ) * 100""",
        "request-duration": """histogram_quantile( 0.99, sum( rate( response_latency_ms_bucket{ namespace="{{ namespace }}",
            deployment=~"{{ target }}", direction="inbound" }[{{ interval }}] ) ) by (le) )""",
    },
}
ARGO = """sum(irate( istio_requests_total{reporter="source",destination_service=~"{{args.service-name}}",response_code!~"5.*"}[5m] )) /
    sum(irate( istio_requests_total{reporter="source",destination_service=~"{{args.service-name}}"}[5m] ))"""


class Version(http.server.BaseHTTPRequestHandler):
    """Answers after 20 to 200 ms, each as likely; the canary fails one request in ten."""

    protocol_version = "HTTP/1.1"
    chance = random.Random(7)
    failing = 0.0

    def do_GET(self):
        time.sleep(self.chance.uniform(0.02, 0.2))
        self.send_response(500 if self.chance.random() < self.failing else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Lets every client of the test wait to be accepted; by itself it lets five, and drops what comes beyond."""

    request_queue_size = 128


def version(failing):
    kind = type("Version", (Version,), {"failing": failing})
    server = Server(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


def use(listen, count):
    host, port = listen.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    for _ in range(count):
        connection.request("GET", "/")
        connection.getresponse().read()
    connection.close()


def filled(query):
    for name, value in {"{{ namespace }}": "shop", "{{ target }}": "carts", "{{ interval }}": "2m"}.items():
        query = query.replace(name, value)
    return query


def lint(text, families):
    """Returns what promtool finds, without that others chose their units."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=20)
    found = (done.stdout + done.stderr).decode().splitlines()
    return [line for line in found if not any(line.startswith(family + " ") for family in families)]


def canary(admin, kinds):
    """How many requests of the canary ended in one of the classes, by the proxy's own family."""
    text = get(f"http://{admin}/metrics").decode()
    lines = [line for line in text.splitlines() if line.startswith("portcullis_requests_total{") and 'role="canary"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if any(f'class="{kind}"' in line for kind in kinds))


def judge(program, folder):
    config = {
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "state": str(folder / "state"), "workers": 2,
        "metrics": {"compat": ["istio", "linkerd"], "namespace": "shop"},
        "services": [{
            "name": "carts", "stable": {"version": "v1", "endpoints": [version(0.0)]}, "canary": {"version": "v2", "endpoints": [version(0.1)]},
            "gates": ["errors < 90%"], "plan": {"steps": [{"weight": "50%", "hold": "1h"}, {"weight": "100%", "hold": "1h"}]},
        }],
    }
    path = folder / "portcullis.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML.
    proxy = start("portcullis", [program, "run", str(path)], stdout=subprocess.PIPE, text=True)
    listen = proxy.stdout.readline().removeprefix("listening on ").strip()
    admin = proxy.stdout.readline().removeprefix("admin on http://").strip()

    families = ["istio_request_duration_milliseconds", "istio_requests_total", "response_latency_ms", "response_total"]
    found = lint(get(f"http://{admin}/metrics"), families)
    if found:
        raise SystemExit("promtool check metrics: " + "; ".join(found))
    # The linter can find something.
    if not lint(b"# TYPE a_milliseconds gauge\na_milliseconds 1\n", families):
        raise SystemExit("promtool check metrics finds nothing in a bad exposition")

    server = prometheus(folder, {"proxy": admin}, "/metrics", "portcullis-{}")
    until("Prometheus", lambda: get(f"{server}/-/ready"))
    total = 'sum(istio_requests_total{reporter="destination"})'
    until("the first scrape", lambda: values(server, total) == [0])
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        running = [pool.submit(use, listen, REQUESTS // 40) for _ in range(40)]
        argo = ARGO.replace("{{args.service-name}}", "carts-canary.shop.svc.cluster.local")
        ours = ('sum(irate(portcullis_requests_total{role="canary",class!~"5xx|error|aborted"}[5m])) / '
                'sum(irate(portcullis_requests_total{role="canary",class!="aborted"}[5m]))')
        sides = []
        while not all(one.done() for one in running):
            at = {"time": str(time.time())}
            both = values(server, argo, **at), values(server, ours, **at)
            if all(both) and both[0][0] == both[0][0]:
                sides.append((both[0][0], both[1][0]))
            time.sleep(0.5)
        for one in running:
            one.result()
    until("every request to be scraped", lambda: values(server, total) == [REQUESTS])

    good, ended = canary(admin, ["1xx", "2xx", "3xx", "4xx"]), canary(admin, ["1xx", "2xx", "3xx", "4xx", "5xx", "error"])
    spectrum = json.loads(get(f"http://{admin}/v1/rollouts/carts/history"))["spectra"]["canary"]
    p99 = dict((q, us) for q, us in spectrum["points"])[0.99] / 1e3
    wanted = [("argo, success rate", their, our) for their, our in sides]
    for name, queries in FLAGGER.items():
        for metric, own in [("request-success-rate", 100 * good / ended), ("request-duration", p99)]:
            wanted.append((f"flagger, {name} {metric}", (values(server, filled(queries[metric])) or [float("nan")])[0], own))
    if len(sides) < 3:
        raise SystemExit(f"only {len(sides)} answers for Argo")
    near = 0
    worst = 0.0
    for name, their, our in wanted:
        apart = abs(their - our) / our
        worst = max(worst, apart)
        if apart <= NEAR:
            near += 1
        else:
            print(f"{name}: {their} by Prometheus, {our} by the proxy", file=sys.stderr)
    print(f"{near}/{len(wanted)} answers within 1 % of the proxy's own figures, at most {worst:.2%} apart; {ended:.0f} requests, p99 {p99:.1f} ms")
    return 0 if near == len(wanted) else 1


def main(program):
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"it took more than {WITHIN} s"))
    signal.alarm(WITHIN)
    with tempfile.TemporaryDirectory() as name:
        try:
            return judge(program, pathlib.Path(name))
        finally:
            signal.alarm(0)
            stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
