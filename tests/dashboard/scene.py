"""The processes of the dashboard's tests: a proxy before real carts, load on it, and recorded states in place of a proxy."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

ITEM = '{"itemId":"a1","unitPrice":3.5,"quantity":1}'
PATIENCE = 20


def eventually(what, look, patience=PATIENCE):
    """Returns what `look` finds once it is something, or fails."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: nothing within {patience} s")


class Scene:
    """Everything that is started, and ended with it."""

    def __init__(self, program, folder):
        self.program, self.folder, self.running = program, Path(folder), []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, command, wanted=None):
        """Starts a process; returns it and what the first line of its output that fits `wanted` says."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.running.append(process)
        if wanted is None:
            return process, None
        found = next((found for found in (re.search(wanted, line) for line in process.stdout) if found), None)
        assert found, f"{command[0]} ended before it said {wanted}"
        return process, found.group(1)

    def run(self, *args):
        """Runs a command of the program, which must do what it is told; returns what it says."""
        ended = subprocess.run([self.program, *args], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, f"{args}: {ended.stderr}"
        return ended.stdout

    def carts(self, tag):
        """Serves carts; returns its address."""
        return self.start([self.program, "carts", "--tag", tag, "--listen", "127.0.0.1:0"], r"listening on (\S+)")[1]

    def load(self, listen):
        """Keeps ordinary visitors at work."""
        visitor = [self.program, "load", f"http://{listen}/carts/1/items", "--users", "6", "--think", "25ms", "--duration", "120s"]
        with open(os.devnull, "w") as nowhere:
            body = ["--method", "POST", "--header", "content-type: application/json", "--body", ITEM]
            self.running.append(subprocess.Popen(visitor + body, stdout=nowhere, stderr=nowhere))

    def recorded(self, ui, state):
        """Serves the dashboard with a recorded state; returns its address."""
        return self.start(["node", f"{ui}/dev/serve.mjs", f"{self.folder}/states/{state}.json"], r"(http://\S+)")[1]


class Proxy:
    """A portcullis before stable 0.8.1, with a state folder of its own."""

    def __init__(self, scene, stable, state="state"):
        self.scene, self.stable, self.process = scene, stable, None
        self.listen, self.admin, self.state = "127.0.0.1:0", "127.0.0.1:0", scene.folder / state

    def command(self, state):
        gates = ["--gate", "p95 < 500ms", "--gate", "errors < 1%"]
        plan = ["--weight", "10%", "--hold", "60s", "--state", str(state), "--service", "carts", "--stable", f"0.8.1={self.stable}"]
        return [self.scene.program, "run", "--listen", self.listen, "--admin", self.admin, *plan, *gates]

    def start(self):
        """Starts it, again where it was when it ran before."""
        if self.process is None:
            shutil.rmtree(self.state, ignore_errors=True)
        self.process, self.listen = self.scene.start(self.command(self.state), r"listening on (\S+)")
        self.admin = next(re.search(r"http://(\S+)", line).group(1) for line in self.process.stdout if "admin on" in line)

    def stop(self):
        self.process.terminate()
        self.process.wait(40)

    def ask(self, path, body=None):
        """Asks the admin listener, by POST where there is a body."""
        return self.send("GET" if body is None else "POST", path, body, {})

    def send(self, method, path, body, headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.admin}{path}", data, {"content-type": "application/json", **headers}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def try_version(self, name, address, service="carts"):
        self.ask("/v1/rollouts", {"service": service, "canary": {"name": name, "endpoints": [address]}, "actor": "ann"})

    def rollout(self):
        return self.ask("/v1/rollouts/carts")["rollout"]
