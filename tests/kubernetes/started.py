"""Starts a proxy with the arguments and the environment of an injected container, and its probe and hooks, in a folder of this machine."""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

PROGRAM = sys.argv[1]


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"app")

    def log_message(self, *_):
        pass


def container(annotations, release):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"app": "carts", "version": "0.8.1"}, "annotations": annotations},
           "spec": {"containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": port}]}]}}
    done = subprocess.run([PROGRAM, "inject", "--kube-version", release], input=json.dumps(pod), capture_output=True, text=True, check=True)
    spec = json.loads(done.stdout)["spec"]
    return next(one for one in spec.get("initContainers", []) + spec["containers"] if one["name"] == "portcullis")


def here(words, folder):
    """The paths of the container in the folder, and any port instead of its own."""
    there = [("/var/lib/portcullis", f"{folder}/lib"), ("/etc/portcullis", f"{folder}/etc")]
    there += [(f"{host}:4143", "127.0.0.1:0") for host in ("0.0.0.0", "127.0.0.1")]
    for old, new in there:
        words = [word.replace(old, new) for word in words]
    return words


def tried(annotations, release, folder):
    one = container(annotations, release)
    environment = {**os.environ, **dict(zip([v["name"] for v in one["env"]], here([v["value"] for v in one["env"]], folder)))}
    os.makedirs(f"{folder}/lib", exist_ok=True)
    assert one["command"] == ["portcullis"], one["command"]

    def run(words):
        assert words[0] == "portcullis", words
        return subprocess.run([PROGRAM, *here(words[1:], folder)], env=environment, capture_output=True, text=True, timeout=90)

    probe = one["startupProbe"]["exec"]["command"]
    assert run(probe).returncode != 0, "ready before it was started"
    log = open(f"{folder}/log", "w+")
    proxy = subprocess.Popen([PROGRAM, *here(one["args"], folder)], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        if release == "1.28":
            hook = one["lifecycle"]["postStart"]["exec"]["command"]
            assert run(hook).returncode == 0, "the hook did not wait"
        end = time.monotonic() + 60
        while run(probe).returncode != 0:
            assert proxy.poll() is None and time.monotonic() < end, Path(log.name).read_text()
        assert run(one["readinessProbe"]["exec"]["command"]).returncode == 0
        address = next(line.split()[-1] for line in Path(log.name).read_text().splitlines() if line.startswith("listening on "))
        answer = urllib.request.urlopen(f"http://{address}/", timeout=10).read()
        assert answer == b"app", answer
        status = run(["portcullis", "status"])
        assert status.returncode == 0 and "carts: owned by 0.8.1" in status.stdout, status
        if release == "1.28":
            begun = time.monotonic()
            assert run(one["lifecycle"]["preStop"]["exec"]["command"]).returncode == 0
            assert time.monotonic() - begun >= 1, "the hook did not linger"
        proxy.terminate()
        assert proxy.wait(60) == 0, "the proxy did not end well"
    finally:
        if proxy.poll() is None:
            proxy.kill()
            proxy.wait()


app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
threading.Thread(target=app.serve_forever, daemon=True).start()
port = app.server_address[1]
for release in ("1.33", "1.28"):
    with tempfile.TemporaryDirectory() as folder:
        tried({"config.portcullis/pre-stop-sleep": "1"}, release, folder)
with tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/etc")
    Path(f"{folder}/etc/config.yaml").write_text(f"""listen: 127.0.0.1:1
services:
  - {{name: carts, stable: {{version: 0.8.1, endpoints: ["127.0.0.1:{port}"]}}}}
""")
    tried({"config.portcullis/config-map": "carts", "config.portcullis/pre-stop-sleep": "1"}, "1.28", folder)
print("a proxy started as the container does, by flags and by a ConfigMap, is ready, serves, and ends")
