"""The processes of the dashboard's tests: a proxy before real carts, load on it, and recorded states in place of a proxy."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from threading import Thread

ITEM = '{"itemId":"a1","unitPrice":3.5,"quantity":1}'
# Seconds for what takes a moment: how long a crowded machine may take for it says nothing of the dashboard.
PATIENCE = 60


def soon(look, patience=PATIENCE):
    """Returns what `look` finds once it is something, or what it found last."""
    until = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def eventually(what, look, patience=PATIENCE):
    """Returns what `look` finds once it is something, or fails."""
    found = soon(look, patience)
    assert found, f"{what}: nothing within {patience} s"
    return found


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
                # Whoever was asked to wait could not end.
                process.send_signal(signal.SIGCONT)
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, command, *wanted):
        """Starts a process; returns it and what its output says where it fits each of `wanted`."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.running.append(process)
        lines = []
        # To the end: whoever writes into a pipe that nobody empties stops at some point.
        Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
        said = lambda what: next((found.group(1) for found in (re.search(what, line) for line in list(lines)) if found), None)
        told = [soon(lambda: said(what) or process.poll() is not None) and said(what) for what in wanted]
        assert all(told), f"{command[:2]} never said one of {wanted}, but {''.join(lines[-20:])}"
        return process, told

    def run(self, *args):
        """Runs a command of the program, which must do what it is told; returns what it says."""
        ended = subprocess.run([self.program, *args], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, f"{args}: {ended.stderr}"
        return ended.stdout

    def carts(self, tag):
        """Serves carts; returns its address."""
        return self.start([self.program, "carts", "--tag", tag, "--listen", "127.0.0.1:0"], r"listening on (\S+)")[1][0]

    def load(self, listen):
        """Keeps ordinary visitors at work until they are told to stop; returns them."""
        # As long as the whole test may take, and more.
        visitor = [self.program, "load", f"http://{listen}/carts/1/items", "--users", "6", "--think", "25ms", "--duration", "1h"]
        with open(os.devnull, "w") as nowhere:
            body = ["--method", "POST", "--header", "content-type: application/json", "--body", ITEM]
            self.running.append(subprocess.Popen(visitor + body, stdout=nowhere, stderr=nowhere))
        return Visitors(self.running[-1])

    def recorded(self, ui, state):
        """Serves the dashboard with a recorded state; returns its address."""
        return self.start(["node", f"{ui}/dev/serve.mjs", f"{self.folder}/states/{state}.json"], r"(http://\S+)")[1][0]


class Visitors:
    """Ordinary visitors, who can be asked to wait: what only traffic brings about does not come before it was looked at."""

    def __init__(self, process):
        self.process = process

    def wait(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def leave(self):
        """Ends them; whoever waits goes on for that."""
        self.process.terminate()
        self.go_on()
        self.process.wait(PATIENCE)


class Proxy:
    """A portcullis before stable 0.8.1, with a state folder of its own."""

    def __init__(self, scene, stable, state="state"):
        self.scene, self.stable, self.process = scene, stable, None
        self.listen, self.admin, self.state = "127.0.0.1:0", "127.0.0.1:0", scene.folder / state

    def command(self, state):
        # A brake takes four moments as far apart as a burst lasts to be confirmed: time to look at it, also where everything is slow.
        return self.configured(
            f"state: {state}\nservices:\n  - name: carts\n    stable: {{version: 0.8.1, endpoints: ['{self.stable}']}}\n"
            "    gates: ['p95 < 500ms', 'errors < 1%']\n    burst_tolerance: 3s\n    plan: {start: 10%, factor: 3, hold: 60s}\n"
        )

    def configured(self, text):
        """Writes a configuration with this text below its addresses; returns the command that runs it."""
        file = self.scene.folder / f"{self.state.name}.yaml"
        file.write_text(f"listen: {self.listen}\nadmin: {self.admin}\n{text}")
        return [self.scene.program, "run", str(file)]

    def start(self):
        """Starts it, again where it was when it ran before."""
        if self.process is None:
            shutil.rmtree(self.state, ignore_errors=True)
        self.process, (self.listen, self.admin) = self.scene.start(self.command(self.state), r"listening on (\S+)", r"admin on http://(\S+)")

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def ask(self, path, body=None):
        """Asks the admin listener, by POST where there is a body."""
        return self.send("GET" if body is None else "POST", path, body, {})

    def send(self, method, path, body, headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.admin}{path}", data, {"content-type": "application/json", **headers}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def try_version(self, name, address, service="carts"):
        self.ask("/v1/rollouts", {"service": service, "canary": {"name": name, "endpoints": [address]}, "actor": "ann"})

    def rollout(self):
        return self.ask("/v1/rollouts/carts")["rollout"]
