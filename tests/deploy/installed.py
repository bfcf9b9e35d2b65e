"""Installs the Debian package into a fresh root and runs it as its systemd unit would: its user, its folders, a read-only root, a /proc
that shows processes alone, readiness and watchdog by notification; and holds the system calls it makes to what the unit allows.

Arguments: a fresh Debian root without the package, and the package. It wants network and mount namespaces of its own (see `run`).
"""

import http.server
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading

from kubelet import address, request, until
from rendered import ROOT

# Of the range that systemd takes the users of DynamicUser= from.
USER = 61999
UNIT = ROOT / "deploy/systemd/portcullis.service"
CONFIGURATION = """\
listen: 127.0.0.1:8080
services:
  - name: shop
    stable: {version: 1.4.0, endpoints: ["127.0.0.1:8081"]}
"""


class Version(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"1.4.0")

    def log_message(self, *_):
        pass


def unit():
    """The settings of the service, each a list of what was written for it."""
    settings = {}
    for line in UNIT.read_text().splitlines():
        if found := re.match(r"([A-Za-z]+)=(.*)", line):
            settings.setdefault(found[1], []).append(found[2])
    return settings


def run(*command, **more):
    return subprocess.run([str(one) for one in command], check=True, capture_output=True, text=True, timeout=120, **more).stdout


def install(root, package):
    run("dpkg", f"--root={root}", "--install", package)
    assert run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", "--showformat=${Status}", "portcullis") == "install ok installed"
    # Every file is what was packed.
    assert run("dpkg", f"--root={root}", "--verify", "portcullis") == ""
    within = lambda *command: run("chroot", root, *command)
    assert within("portcullis", "--version").startswith("portcullis ")
    example = "/usr/share/doc/portcullis/examples/example.yaml"
    assert "ok" in within("portcullis", "check", example)
    assert within("bash", "-c", ". /usr/share/bash-completion/completions/portcullis && complete -p portcullis").startswith("complete ")
    pages = [file.name for file in (root / "usr/share/man/man1").glob("portcullis*.1.gz")]
    told = re.findall(r"^  ([a-z-]+) ", within("portcullis", "--help").split("Commands:")[1].split("Options:")[0], re.M)
    lacking = [name for name in told if name != "help" and f"portcullis-{name}.1.gz" not in pages]
    assert not lacking and ".TH portcullis" in within("zcat", "/usr/share/man/man1/portcullis.1.gz"), lacking
    # Nothing begins before it is configured.
    assert unit()["ConditionPathExists"] == ["/etc/portcullis/config.yaml"] and not (root / "etc/portcullis/config.yaml").exists()


def prepare(root):
    """The service's view of the machine, as far as mounts make it."""
    settings = unit()
    for folder, kept in (("var/lib", "StateDirectory"), ("run", "RuntimeDirectory")):
        place = root / folder / settings[kept][0]
        place.mkdir(parents=True)
        place.chmod(int(settings[f"{kept}Mode"][0], 8))
        os.chown(place, USER, USER)
    (root / "etc/portcullis/config.yaml").write_text(CONFIGURATION)
    (root / "run/notify").mkdir()
    mount = lambda *arguments: run("mount", *arguments)
    mount("--bind", root, root)
    mount("-o", "remount,bind,ro", root)
    for folder in ("var/lib/portcullis", "run/portcullis", "run/notify"):
        mount("--bind", root / folder, root / folder)
        mount("-o", "remount,bind,rw", root / folder)
    assert settings["ProcSubset"] == ["pid"] and settings["ProtectProc"] == ["invisible"]
    mount("-t", "proc", "-o", "subset=pid,hidepid=invisible", "proc", root / "proc")


class Service:
    """The processes of the unit, and what they notify their manager of. strace follows them from beside (-D), so that the first is our child."""

    def __init__(self, root, trace):
        place = root / "run/notify/socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(place))
        place.chmod(0o777)
        self.socket.settimeout(0.1)
        variables = {"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": "/run/notify/socket", "WATCHDOG_USEC": "5000000",
                     "STATE_DIRECTORY": "/var/lib/portcullis", "RUNTIME_DIRECTORY": "/run/portcullis", "LANG": "C.UTF-8"}
        [start] = unit()["ExecStart"]
        command = ["strace", "-D", "-f", "-o", trace, "setpriv", "--no-new-privs", "/usr/sbin/chroot", f"--userspec={USER}:{USER}", "--groups=", root]
        # systemd says whom the watchdog awaits; its number is known only here.
        command += ["/bin/sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"]
        self.successor = None
        self.log = open(root.parent / "service.log", "w+")
        self.process = subprocess.Popen([str(one) for one in command + shlex.split(start)], env=variables, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def told(self, what):
        """Awaits a notification, and returns the rest of its line."""
        found = until(f"the notification {what}", lambda: [line for line in self.heard().splitlines() if line.startswith(what)])
        return found[0].removeprefix(what)

    def heard(self):
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            if self.successor or self.process.poll() is None:
                return ""
        self.log.seek(0)
        raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.log.read()}")

    def forget(self):
        """Leaves unread what was notified before."""
        while self.heard():
            pass

    def replace(self):
        """Has a new process take over, as for a new release, and returns the exit code of the old one."""
        self.process.send_signal(signal.SIGUSR2)
        self.successor = int(self.told("MAINPID="))
        return self.process.wait(60)

    def stop(self):
        """Ends what still runs."""
        if self.successor:
            os.kill(self.successor, signal.SIGTERM)
        elif self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


def allowed():
    """The system calls that the unit's filters leave."""
    groups = {}
    for line in run("systemd-analyze", "syscall-filter").splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].append(line.strip())

    def members(name):
        return set().union(*(members(one) for one in groups[name])) if name in groups else {name}

    first, second = unit()["SystemCallFilter"]
    assert second[0] == "~"
    named = lambda text: set().union(*map(members, text.split()))
    return (named(first) | members("@default")) - (named(second.removeprefix("~")) - members("@default"))


def check_calls(trace):
    """What the program did from its own start on, beside what the unit allows."""
    lines = trace.read_text().splitlines()
    # After those that started setpriv, chroot, the shell and it.
    start = [at for at, line in enumerate(lines) if " execve(" in line and line.endswith("= 0")][3]
    made, mapped, families = set(), [], set()
    for line in lines[start + 1:]:
        if found := re.match(r"\d+\s+(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)(.*)", line):
            made.add(found[1])
            if found[1] in ("mmap", "mprotect") and "PROT_WRITE" in found[2] and "PROT_EXEC" in found[2]:
                mapped.append(line)
            if found[1] == "socket":
                families.add(found[2].split(",")[0])
    families = {family for family in families if family.startswith("AF_")}
    # What is refused with EPERM and done without: the resolver's look at the addresses there are (getaddrinfo, RFC 6724).
    refused = families - set(unit()["RestrictAddressFamilies"][0].split()) - {"AF_NETLINK"}
    assert len(made) > 30 and {"epoll_wait", "accept4", "bind"} <= made, sorted(made)
    assert not made - allowed(), f"SystemCallFilter forbids {sorted(made - allowed())}"
    assert not mapped, f"MemoryDenyWriteExecute forbids {mapped}"
    assert not refused, f"RestrictAddressFamilies forbids {refused}"
    return len(made)


def main():
    root, package = map(pathlib.Path, sys.argv[1:])
    address()
    version = http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Version)
    threading.Thread(target=version.serve_forever, daemon=True).start()
    install(root, package)
    prepare(root)
    trace = root.parent / "trace"
    service = Service(root, trace)
    try:
        service.told("READY=1")
        until("a request through it", lambda: request("GET", "127.0.0.1", 8080, "/") == (200, "1.4.0"))
        status, metrics = request("GET", "127.0.0.1", 9090, "/metrics")
        assert status == 200 and "process_start_time_seconds" in metrics, metrics
        service.told("WATCHDOG=1")
        # An administrator is root here, and finds the socket by itself.
        assert "shop: owned by 1.4.0" in run("chroot", root, "portcullis", "status")
        assert service.replace() == 0
        service.forget()
        # Else systemd would end the new process after WatchdogSec=.
        service.told("WATCHDOG=1")
        until("the new process serves", lambda: request("GET", "127.0.0.1", 8080, "/") == (200, "1.4.0"))
    finally:
        service.stop()
    service.told("STOPPING=1")
    until("the end of the new process", lambda: re.search(rf"^{service.successor} +\+\+\+ exited with 0 \+\+\+$", trace.read_text(), re.M))
    service.socket.close()
    made = check_calls(trace)
    for folder in ("proc", "var/lib/portcullis", "run/portcullis", "run/notify", ""):
        run("umount", root / folder)
    assert any((root / "var/lib/portcullis").iterdir())
    run("dpkg", f"--root={root}", "--purge", "portcullis")
    left = [str(file) for file in root.rglob("*portcullis*") if "/proc/" not in str(file)]
    assert sorted(left) == [str(root / "etc/portcullis"), str(root / "run/portcullis")], left
    print(f"package: installed, ran as its unit says, handed over to a new process, with {made} kinds of system calls, all of them allowed, and purged")


if __name__ == "__main__":
    main()
