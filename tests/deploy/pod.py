"""Runs the image as a pod of the rendered chart, and lives through what a gateway in a cluster lives through.

Arguments: a folder with the image's `root` and its `config.json`. It wants network and mount namespaces of its own (see `run`).
"""

import base64
import http.server
import json
import pathlib
import re
import ssl
import sys
import tempfile
import threading
import urllib.parse

import yaml

from kubelet import DNS, POD, Names, Pod, address, basic, request, until
from rendered import NAME, NAMESPACE, ROOT, merged, of_kind, render

STABLE, CANARY = "10.77.0.11", "10.77.0.12"
PORT = 8081  # the gateway has 8080 on every address of the namespace
TOKEN = "viewer-0123456789abcdef0123456789abcdef"
# As in the examples.
SECRET = "shop-gateway-tokens"
VALUES = {
    "config": {"services": [{
        "name": "shop",
        "stable": {"version": "1.4.0", "endpoints": [f"shop-stable:{PORT}"]},
        "canary": {"version": "1.5.0", "endpoints": [f"shop-canary:{PORT}"]},
        "gates": ["errors < 1%"],
        "burst_tolerance": "0s",
        "rescue": False,
        "plan": {"start": "50%", "hold": "10m"},
    }]},
    "admin": {"tokens": [{"name": "prometheus", "role": "viewer", "secretName": SECRET, "secretKey": "viewer"}]},
    "monitoring": {"serviceMonitor": True},
}


class Version(http.server.ThreadingHTTPServer):
    """A version of the workload, which says its name, fails when told to, and holds what asks for /slow until it is told to answer."""

    daemon_threads = True

    def __init__(self, place, name):
        self.name, self.fails = name, False
        self.asked, self.answer = threading.Event(), threading.Event()
        super().__init__((place, PORT), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            self.server.asked.set()
            self.server.answer.wait()
        self.send_response(500 if self.server.fails else 200)
        self.send_header("Content-Length", str(len(self.server.name)))
        self.end_headers()
        self.wfile.write(self.server.name.encode())

    def log_message(self, *_):
        pass


def visit(count=1, path="/"):
    """Asks the gateway as clients do, and returns who answered."""
    return [request("GET", POD, 8080, path)[1] for _ in range(count)]


def check_identity(pod):
    """What the container's process may do: it is nobody of importance and can become nobody else."""
    said = pathlib.Path(f"/proc/{pod.process.pid}/status").read_text()
    field = lambda name: re.search(rf"^{name}:\s*(.*)$", said, re.M)[1].split()
    assert field("Uid") == ["2102"] * 4 and field("Gid") == ["2102"] * 4, said
    assert all(int(field(name)[0], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")) and field("NoNewPrivs") == ["1"], said


def check_admin(pod, manifests, secrets):
    """Probes need nothing, everything else a token; what scrapes reads the metrics as its ServiceMonitor says, and commands nothing."""
    assert [pod.probe(name) for name in ("startupProbe", "readinessProbe", "livenessProbe")] == [200] * 3
    unverified = ssl._create_unverified_context()
    for path in ("/metrics", "/v1/rollouts", "/"):
        assert request("GET", POD, 9090, path, tls=unverified)[0] == 401, path
    endpoint = of_kind(manifests, "ServiceMonitor")["spec"]["endpoints"][0]
    credentials, authority = endpoint["authorization"]["credentials"], endpoint["tlsConfig"]["ca"]["secret"]
    bearer = {"Authorization": f"Bearer {secrets[credentials['name']][credentials['key']].decode()}"}
    trusted = ssl.create_default_context(cadata=secrets[authority["name"]][authority["key"]].decode())
    ask = lambda method, path: request(method, POD, 9090, path, bearer, tls=trusted, name=endpoint["tlsConfig"]["serverName"])
    status, metrics = ask("GET", endpoint["path"])
    assert status == 200 and "portcullis_split_weight_ratio{" in metrics and "process_start_time_seconds" in metrics, metrics
    assert ask("POST", "/v1/rollouts/shop/abort")[0] == 403
    return lambda: json.loads(ask("GET", "/v1/rollouts/shop")[1])


def neighbours():
    """What the examples for Argo Rollouts and Flagger ask, with their placeholders filled in."""
    template = yaml.safe_load((ROOT / "deploy/examples/argo-rollouts.yaml").read_text())
    arguments = {one["name"]: one.get("value") for one in template["spec"]["args"]} | {"service": "shop", "token": TOKEN}
    assert [one for one in template["spec"]["args"] if one["name"] == "token"][0]["valueFrom"]["secretKeyRef"] == {"name": SECRET, "key": "viewer"}
    fill = lambda text: re.sub(r"\{\{args\.([a-z]+)\}\}", lambda found: arguments[found[1]], text)
    [metric] = template["spec"]["metrics"]
    web = metric["provider"]["web"]
    assert web["jsonPath"] == "{$.verdict}" and metric["successCondition"] == 'result == "pass"' and metric["failureCondition"] == 'result == "fail"'

    def argo():
        url = urllib.parse.urlsplit(fill(web["url"]))
        headers = {one["key"]: fill(one["value"]) for one in web["headers"]}
        status, text = request("GET", POD, url.port, url.path, headers, tls=ssl._create_unverified_context(), name=url.hostname)
        assert status == 200, text
        return json.loads(text)["verdict"]

    canary = yaml.safe_load((ROOT / "deploy/examples/flagger.yaml").read_text())
    hooks = {hook["type"]: urllib.parse.urlsplit(hook["url"].replace("TOKEN", TOKEN)) for hook in canary["spec"]["analysis"]["webhooks"]}

    def flagger(kind):
        url = hooks[kind]
        body = json.dumps({"name": "shop", "namespace": NAMESPACE, "phase": "Progressing", "checksum": "1", "metadata": {}})
        headers = basic(url.username, url.password) | {"Content-Type": "application/json"}
        return request("POST", POD, url.port, url.path, headers, body, tls=ssl._create_unverified_context(), name=url.hostname)[0]

    return argo, flagger


def check_rollback(canary, shop):
    """Both versions answer; then one fails, everything goes back, and the neighbours hear of it."""
    argo, flagger = neighbours()
    assert argo() == "inconclusive" and flagger("confirm-rollout") == 200 and flagger("rollout") == 200
    until("both versions answer", lambda: set(visit(4)) == {"1.4.0", "1.5.0"})
    canary.fails = True
    until("the canary is rolled back", lambda: visit() and shop()["rollout"]["phase"] == "rolled_back")
    assert set(visit(20)) == {"1.4.0"} and argo() == "fail" and flagger("rollout") == 409
    canary.fails = False


def check_reload(pod, manifests, shop):
    """Another canary in the ConfigMap begins without a new pod; its name is looked up in the cluster's name server."""
    text = of_kind(manifests, "ConfigMap", NAME)["data"]["config.yaml"]
    pod.configure(text.replace("1.5.0", "1.6.0"))
    until("the other canary begins", lambda: (shop()["rollout"] or {})["canary"]["name"] == "1.6.0" and visit() and shop()["rollout"]["weight"] > 0)
    # A name without an address changes nothing, and is told.
    pod.configure(text.replace("1.5.0", "1.7.0").replace("shop-canary", "shop-nobody"))
    until("the name that is none is told", lambda: "shop-nobody" in pod.said())
    assert shop()["rollout"]["canary"]["name"] == "1.6.0" and set(visit(20)) <= {"1.4.0", "1.5.0"}


def check_commands(pod, shop):
    """Commands from within the container, as `kubectl exec` gives them, over its socket and without a token."""
    status = pod.execute("portcullis", "status")
    assert status.returncode == 0 and "shop: owned by 1.4.0" in status.stdout, status
    aborted = pod.execute("portcullis", "abort", "shop")
    assert aborted.returncode == 0, aborted
    until("the abort", lambda: shop()["rollout"]["weight"] == 0)


def check_shutdown(pod, stable):
    """A request that is under way at SIGTERM is answered, and the container ends by itself in time."""
    answers, done = [], threading.Thread(target=lambda: answers.append(visit(path="/slow")))
    done.start()
    assert stable.asked.wait(60)
    code = []
    ending = threading.Thread(target=lambda: code.append(pod.stop()))
    ending.start()
    until("readiness ends", lambda: pod.probe("readinessProbe") == 503)
    assert not code
    stable.answer.set()
    done.join()
    ending.join()
    assert answers == [["1.4.0"]] and code == [0], (answers, code)


def main():
    image = pathlib.Path(sys.argv[1])
    address(POD, DNS, STABLE, CANARY)
    service = lambda name: f"{name}.{NAMESPACE}.svc.cluster.local"
    Names({service("shop-stable"): [STABLE], service("shop-canary"): [CANARY]})
    stable, canary = Version(STABLE, "1.4.0"), Version(CANARY, "1.5.0")
    manifests = render(VALUES)
    made = of_kind(manifests, "Secret")
    secrets = {made["metadata"]["name"]: {key: base64.b64decode(text) for key, text in made["data"].items()}, SECRET: {"viewer": TOKEN.encode()}}
    template = of_kind(manifests, "Deployment")["spec"]["template"]
    with tempfile.TemporaryDirectory() as temporary:
        pod = Pod(pathlib.Path(temporary), manifests, template, image, secrets)
        try:
            pod.start()
            check_identity(pod)
            shop = check_admin(pod, manifests, secrets)
            check_rollback(canary, shop)
            check_reload(pod, manifests, shop)
            check_commands(pod, shop)
            check_shutdown(pod, stable)
            # A new pod with the same volume: what was rejected stays so, though the ConfigMap still names it.
            pod.configure(of_kind(manifests, "ConfigMap", NAME)["data"]["config.yaml"])
            pod.start()
            assert "1.5.0" in json.dumps(shop()["rejected"]) and set(visit(20)) == {"1.4.0"}, shop()
        except BaseException:
            print(pod.said(), file=sys.stderr)
            raise
        finally:
            pod.stop()
            pod.tear_down()
    print("pod: the image ran as the chart says, unprivileged and on a read-only root: probes, a scrape, a rollback that Argo's and Flagger's "
          "questions hear of, a changed ConfigMap, commands from within, a drain, and a restart that remembers")


if __name__ == "__main__":
    main()
