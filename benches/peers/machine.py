"""The machine the comparison runs on: its cores, processes, ports, and how much time and memory a process takes."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

PROXY_CORE, LOAD_CORE = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """Something that makes the comparison impossible, in words for the user."""


class Process:
    """A program on one core, or on any of several, ended with all its children when the block ends."""

    def __init__(self, name, command, core, folder):
        self.name, self.command, self.cores = name, [str(part) for part in command], {core} if isinstance(core, int) else set(core)
        self.log = Path(folder) / f"{name}.log"

    def __enter__(self):
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, self.cores)
            )
        return self

    def __exit__(self, *_):
        pids = self.pids()
        self.popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(5)
        for pid in pids:
            if pid != self.popen.pid or self.popen.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.popen.wait()

    def pids(self):
        """The process and its descendants."""
        found, queue = [], [self.popen.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    queue += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
        return found

    def cpu_seconds(self):
        """User and system time so far, of all its processes."""
        return sum(self.cpu_parts())

    def cpu_parts(self):
        """User time and system time so far, of all its processes."""
        user = system = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                user, system = user + int(fields[11]), system + int(fields[12])
        return user / TICKS, system / TICKS

    def resident_kib(self):
        """Resident memory of all its processes; pages that they share are counted for each."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError):
                size = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
                total += int(size[1]) if size else 0
        return total

    def wait_for(self, port, seconds=10):
        """Waits until the port answers; at most so many seconds."""

        def listens():
            if self.popen.poll() is not None:
                raise Trouble(f"{self.name} ended with code {self.popen.returncode}:\n{self.log.read_text(errors='replace')[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        until(listens, f"{self.name} to listen on port {port}", seconds)


def until(holds, what, seconds=10):
    """Waits until something holds; at most so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Trouble(f"waited {seconds} seconds for {what}")
        time.sleep(0.01)


def busy_seconds(core):
    """Time that a core was not idle: user, nice, system, interrupts and time stolen by the host."""
    fields = re.search(rf"^cpu{core} (.*)$", Path("/proc/stat").read_text(), re.M)[1].split()
    return sum(int(fields[at]) for at in (0, 1, 2, 5, 6, 7)) / TICKS


def free_ports(count):
    """Ports that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def system_calls(process, requests, folder):
    """System calls per request of a running program while `requests()` asks it, which returns how many requests it was."""
    counts = Path(folder) / f"{process.name}.calls"
    who = [word for pid in process.pids() for word in ("-p", pid)]
    with Process(f"strace-{process.name}", ["strace", "-f", "-c", "-o", counts, *who], LOAD_CORE, folder) as strace:
        until(lambda: strace.log.read_text().count("attached") >= len(who) // 2, "strace to attach")
        asked = requests()
        strace.popen.terminate()
        strace.popen.wait(10)
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s.*total$", counts.read_text(), re.M)
    if not total:
        raise Trouble(f"strace counted no system call of {process.name}:\n{strace.log.read_text()[-2000:]}")
    return int(total[1]) / asked


def thread_nanoseconds(pid):
    """Time on a core of each thread of a process by its name, user and system, as the scheduler counts it."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name, time_on_core = (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0])
            found[name] = found.get(name, 0) + time_on_core
    return found


def cpu_nanoseconds(pid):
    """The same of all its threads together."""
    return sum(thread_nanoseconds(pid).values())


def require_cores():
    if os.cpu_count() < 2 or not {PROXY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise Trouble("two cores are needed: one for the proxy, one for the load and the upstreams")


def allow_open_files(count):
    """Raises this process's limit of open files, which its children inherit, as far as that goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def read_answer(client, body_bytes, status=200):
    """Reads an answer with this status and so many bytes to its end, and throws its body away."""
    head = b""
    while (end := head.find(b"\r\n\r\n")) < 0:
        head += more(client, head)
    if not head.startswith(b"HTTP/1.1 %d " % status):
        raise Trouble(f"the answer is not {status}: {head[:300]!r}")
    left = body_bytes - (len(head) - end - 4)
    while left > 0:
        left -= len(more(client, head))


def more(client, head):
    got = client.recv(1 << 20)
    if not got:
        raise Trouble(f"the connection ended within an answer: {head[:300]!r}")
    return got
