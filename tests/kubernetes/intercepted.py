"""Runs the init container's command in a network namespace of its own, looks where connections go, and takes it back. Started with unshare --net."""

import encodings.idna  # Before a user is taken that may not read the interpreter's files.
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PROGRAM = sys.argv[1]
ELSEWHERE = {"iptables": "192.0.2.1", "ip6tables": "2001:db8::1"}



def shell(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, (words, done)
    return done.stdout


def said(user, host, port):
    """Connects from a process of some user; returns what the other side says, or how it failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(user)
            with socket.create_connection((host, port), timeout=2) as talk:
                answer = talk.recv(5)
        except BaseException as error:
            answer = type(error).__name__.encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


def serve(family, host):
    """A proxy that says so, on any port of the loopback."""
    listener = socket.create_server((host, 0), family=family)

    def accept():
        while True:
            talk, _ = listener.accept()
            talk.sendall(b"proxy")
            talk.close()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def rules(program):
    """The rules without the counters and the time."""
    return [line for line in shell(f"{program}-save", "-t", "nat").splitlines() if not line.startswith(("#", ":"))]


shell("ip", "link", "set", "lo", "up")
shell("ip", "link", "add", "away", "type", "veth", "peer", "name", "there")
shell("ip", "addr", "add", "192.0.2.2/24", "dev", "away")
shell("ip", "-6", "addr", "add", "2001:db8::2/64", "dev", "away", "nodad")
shell("ip", "link", "set", "away", "up")
shell("ip", "link", "set", "there", "up")
to = serve(socket.AF_INET, "127.0.0.1")
to_v6 = serve(socket.AF_INET6, "::1")

# Where other users may run it.
place = tempfile.TemporaryDirectory()
os.chmod(place.name, 0o755)
ALIKE = shutil.copy(PROGRAM, place.name)

pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {
    "config.portcullis/mode": "intercept", "config.portcullis/config-map": "a", "config.portcullis/intercept-ports": "80,8080",
    "config.portcullis/listen-port": str(to)}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
out = subprocess.run([PROGRAM, "inject"], input=json.dumps(pod), capture_output=True, text=True, check=True).stdout
init = next(one for one in json.loads(out)["spec"]["initContainers"] if one["name"] == "portcullis-init")

def saved(program):
    """The whole table, counters apart."""
    lines = shell(f"{program}-save", "-t", "nat").splitlines()
    return [re.sub(r"\[\d+:\d+\]", "[0:0]", line) for line in lines if not line.startswith("#")]


CHAIN = "PORTCULLIS_OUTPUT"
# What a run that was ended halfway, an older one, or somebody's hand may have left.
HALVES = {
    "nothing": [],
    "a chain without a jump": [["-N", CHAIN], ["-A", CHAIN, "-o", "lo", "-j", "RETURN"]],
    "a chain half filled": [["-N", CHAIN], ["-A", CHAIN, "-p", "tcp", "--dport", "1", "-j", "RETURN"], ["-A", "OUTPUT", "-p", "tcp", "-j", CHAIN]],
    "a jump twice": [["-N", CHAIN], ["-A", "OUTPUT", "-p", "tcp", "-j", CHAIN], ["-A", "OUTPUT", "-p", "tcp", "-j", CHAIN]],
    "an older jump": [["-N", CHAIN], ["-I", "OUTPUT", "-m", "comment", "--comment", "an old one", "-j", CHAIN]],
}

for program, families, port in (("iptables", "ipv4", to), ("ip6tables", "ipv6", to_v6)):
    words = [PROGRAM, *(families if word == "ipv4" else str(port) if word == str(to) else word for word in init["args"])]
    remove = [PROGRAM, "intercept", "--remove", "--ip-families", families]
    # Nobody is there; whoever gets there learns it at once.
    away = ELSEWHERE[program]
    shell(program, "-A", "OUTPUT", "-d", away, "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")
    assert said(1000, away, 80) != "proxy", "redirected without a rule"
    # Somebody else's rules stay.
    shell(program, "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "RETURN")
    shell(program, "-t", "nat", "-N", "SOMEBODY")
    shell(program, "-t", "nat", "-A", "SOMEBODY", "-p", "tcp", "--dport", "7", "-j", "RETURN")
    before = saved(program)
    shell(*remove)
    assert saved(program) == before, "removing what is not there has changed something"
    whole = None
    for half, rules_of_it in HALVES.items():
        for mended in (True, False):
            for rule in rules_of_it:
                shell(program, "-t", "nat", *rule)
            if mended:
                shell(*words)
                first = rules(program)
                whole = whole or first
                assert first == whole, f"{half} was mended to {first}"
                shell(*words)
                assert rules(program) == first, f"twice is not once: {rules(program)}"
            shell(*remove)
            assert saved(program) == before, f"removed after {half}: {saved(program)} instead of {before}"
    shell(*words)
    ours = [rule for rule in whole if CHAIN in rule and rule.startswith("-A")]
    # The jump, the proxy's user, the loopback, the proxy's port, the redirect, and what goes to the link.
    link = ["169.254.0.0/16"] if program == "iptables" else ["fe80::/10", "fd00:ec2::/32"]
    assert all(any(f"-d {network} -j RETURN" in rule for rule in ours) for network in link), ours
    assert len(ours) == 5 + len(link) and len(whole) == len(ours) + 4, whole
    for user, wanted_port, wanted in ((1000, 80, True), (1000, 8080, True), (0, 80, True), (1000, 81, False), (2102, 80, False)):
        answer = said(user, away, wanted_port)
        assert (answer == "proxy") == wanted, f"user {user} to {away}:{wanted_port}: {answer}"
    local = "127.0.0.1" if program == "iptables" else "::1"
    assert said(1000, local, 80) == "ConnectionRefusedError", "what stays in the pod was redirected"
    # All ports but some, to all networks but one.
    network = "192.0.2.0/24" if program == "iptables" else "2001:db8::/64"
    every = [PROGRAM, "intercept", "--ports", "1-65535", "--to", str(port), "--skip-ports", "25,100-199", "--admin-port", "9090", "--ip-families", families]
    shell(*every)
    for wanted_port, wanted in ((26, True), (25, False), (150, False), (9090, False), (port, False)):
        assert (said(1000, away, wanted_port) == "proxy") == wanted, f"to port {wanted_port} of all but some"
    shell(*every, "--skip-networks", f"198.51.100.0/24,{network}")
    assert said(1000, away, 26) != "proxy", "a network that is to be skipped was redirected"
    shell(*remove)
    assert saved(program) == before and said(1000, away, 80) != "proxy", "still redirected"

# Of two families one was done.
both = [PROGRAM, "intercept", "--ports", "80", "--to", "4140", "--ip-families", "dual"]
shell(*both[:-1], "ipv4")
shell(*both)
assert all(any("--to-ports 4140" in rule for rule in rules(program)) for program in ELSEWHERE), "one family is missing"
# Who removes them need not know of which families they are.
shell(PROGRAM, "intercept", "--remove")
assert not any(CHAIN in rule for program in ELSEWHERE for rule in rules(program))

# A failure is told as one and never taken for an absence.
denied = subprocess.run([ALIKE, "intercept", "--remove"], capture_output=True, text=True, user=1000, extra_groups=[])
assert denied.returncode == 1 and "ermission denied" in denied.stderr, denied
denied = subprocess.run([ALIKE, *both[1:]], capture_output=True, text=True, user=1000, extra_groups=[])
assert denied.returncode == 1 and "ermission denied" in denied.stderr, denied
for failing, said_of_it in (("iptables-save", "Another app is currently holding the xtables lock"), ("iptables-restore", "Table does not exist (do you need to insmod?)")):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("iptables-save", "iptables-restore", "iptables"):
            script = f"#!/bin/sh\necho '{said_of_it}' >&2\nexit 4\n" if name == failing else "#!/bin/sh\nexit 0\n"
            Path(folder, name).write_text(script)
            os.chmod(Path(folder, name), 0o755)
        broken = subprocess.run(both[:-2], env={"PATH": folder}, capture_output=True, text=True)
        assert broken.returncode == 1 and said_of_it in broken.stderr and failing in broken.stderr, broken
# An image may have the programs of one family alone; who names the other one means it.
with tempfile.TemporaryDirectory() as folder:
    for name in ("iptables-save", "iptables-restore"):
        Path(folder, name).write_text("#!/bin/sh\nexit 0\n")
        os.chmod(Path(folder, name), 0o755)
    for families, code in (([], 0), (["--ip-families", "ipv4"], 0), (["--ip-families", "dual"], 1)):
        done = subprocess.run([PROGRAM, "intercept", "--remove", *families], env={"PATH": folder}, capture_output=True, text=True)
        assert done.returncode == code and (code == 0 or "ip6tables-save" in done.stderr), done
foreign = ["iptables", "-t", "nat", "-A", "SOMEBODY", "-j", CHAIN]
shell(*both)
shell(*foreign)
kept = subprocess.run([PROGRAM, "intercept", "--remove"], capture_output=True, text=True)
assert kept.returncode == 1 and "-A SOMEBODY -j PORTCULLIS_OUTPUT" in kept.stderr, kept
shell(*(word if word != "-A" else "-D" for word in foreign))
shell(PROGRAM, "intercept", "--remove", "--ip-families", "dual")

refused = subprocess.run([PROGRAM, "intercept", "--ports", "80", "--to", "80"], capture_output=True, text=True)
assert refused.returncode == 2 and "to itself" in refused.stderr, refused
bare = subprocess.run([PROGRAM, "intercept", "--ports", "80", "--to", "81"], env={"PATH": "/nonexistent"}, capture_output=True, text=True)
assert bare.returncode == 1 and "iptables" in bare.stderr and "hint: " in bare.stderr, bare
print("the listed ports of others go to the proxy, for everybody but itself, over IPv4 and IPv6; halves are mended, and nothing is left of it")
