"""Counts instructions with callgrind: starts a program under it, asks it for answers one by one, and reads what was counted."""

import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from machine import PROXY_CORE, Process, Trouble, read_answer

CONNECTIONS = 64
SETTLING_SECONDS = 1.0
# What a worker and the controller do by the clock, whatever is asked of them.
WORKER_TICK = "portcullis::proxy::worker::Worker::tick"
CONTROLLER_TICK = "portcullis::control::controller::Controller::show"


class Thread:
    """What one thread executed: all its instructions, and the calls of some functions with the instructions within them."""

    def __init__(self, path):
        self.total, self.calls, self.within = 0, {}, {}
        names, called, counts = {}, None, None
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("summary: "):
                self.total = int(line.split()[1])
            elif line.startswith(("fn=", "cfn=")):
                number, _, name = line.partition("=")[2].partition(" ")
                name = names.setdefault(number, name)
                called = name if line.startswith("cfn=") and name in (WORKER_TICK, CONTROLLER_TICK) else None
            elif line.startswith("calls="):
                counts = int(line.partition("=")[2].split()[0])
            elif counts is not None and re.match(r"[-+*\d]", line):
                if called:
                    self.calls[called] = self.calls.get(called, 0) + counts
                    self.within[called] = self.within.get(called, 0) + int(line.split()[1])
                called = counts = None


class Counts:
    """The instructions of a program's busiest worker and of its controller."""

    def __init__(self, threads):
        worker = max((each for each in threads if WORKER_TICK in each.calls), key=lambda each: each.total, default=None)
        # The main thread shows the first state, the controller each one after it.
        shown = lambda each: each.calls.get(CONTROLLER_TICK, 0)
        controller = max(threads, key=shown)
        if worker is None:
            raise Trouble(f"callgrind saw no {WORKER_TICK}; is the program built with symbols?")
        self.ticks, self.by_the_clock = worker.calls[WORKER_TICK], worker.within[WORKER_TICK]
        # Without what the worker does by the clock.
        self.of_requests = worker.total - self.by_the_clock
        self.judgements, self.of_controller = shown(controller), controller.total


def count(name, command, port, load, folder, idle_seconds=0.0):
    """Runs a program under callgrind while `load()` asks it; or counts only the seconds after that, in which nobody does."""
    valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={folder}/{name}"]
    for old in Path(folder).glob(f"{name}-*"):
        old.unlink()
    with Process(name, [*valgrind, *command], PROXY_CORE, folder) as proxy:
        proxy.wait_for(port, 120)
        load()
        if idle_seconds:
            # What was seen of the load is handed over first, with a tick or two.
            time.sleep(SETTLING_SECONDS)
            subprocess.run(["callgrind_control", "--zero", str(proxy.popen.pid)], check=True, capture_output=True, timeout=60)
            # Nothing is waited for here: how much is done while time goes by is what is measured.
            time.sleep(idle_seconds)
        proxy.popen.send_signal(signal.SIGTERM)
        proxy.popen.wait(120)
    return Counts([Thread(path) for path in Path(folder).glob(f"{name}-*")])


def ask(port, rounds, request, answer_bytes, close=False):
    """Sends a request over every connection, then reads every answer, so many times over; `request(number)` makes each."""
    sockets = []
    for turn in range(rounds):
        if close or not sockets:
            sockets = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(CONNECTIONS)]
        for at, each in enumerate(sockets):
            each.sendall(request(turn * CONNECTIONS + at))
        for each in sockets:
            read_answer(each, answer_bytes)
            if close:
                each.close()
    for each in sockets:
        each.close()
