"""Runs the init container's command in a network namespace of its own and looks where connections go. Started with unshare --net."""

import encodings.idna  # Before a user is taken that may not read the interpreter's files.
import json
import os
import socket
import subprocess
import sys
import threading

PROGRAM = sys.argv[1]
ELSEWHERE = {"iptables": "192.0.2.1", "ip6tables": "2001:db8::1"}

def shell(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


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

pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {
    "config.portcullis/mode": "intercept", "config.portcullis/config-map": "a", "config.portcullis/intercept-ports": "80,8080",
    "config.portcullis/listen-port": str(to)}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
out = subprocess.run([PROGRAM, "inject"], input=json.dumps(pod), capture_output=True, text=True, check=True).stdout
init = next(one for one in json.loads(out)["spec"]["initContainers"] if one["name"] == "portcullis-init")

for program, families, port in (("iptables", "ipv4", to), ("ip6tables", "ipv6", to_v6)):
    words = [PROGRAM, *(families if word == "ipv4" else str(port) if word == str(to) else word for word in init["args"])]
    away = ELSEWHERE[program]
    assert said(1000, away, 80) != "proxy", "redirected without a rule"
    # Somebody else's rules stay, and half of ours from a run that was ended do no harm.
    shell(program, "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "RETURN")
    shell(program, "-t", "nat", "-N", "PORTCULLIS_OUTPUT")
    shell(program, "-t", "nat", "-A", "PORTCULLIS_OUTPUT", "-p", "tcp", "--dport", "1", "-j", "RETURN")
    shell(*words)
    first = rules(program)
    shell(*words)
    assert rules(program) == first, f"twice is not once: {rules(program)}"
    ours = [rule for rule in first if "PORTCULLIS" in rule and rule.startswith("-A")]
    # The jump, the proxy's user, the loopback, the redirect, and what goes to the link.
    link = ["169.254.0.0/16"] if program == "iptables" else ["fe80::/10", "fd00:ec2::/32"]
    assert all(any(f"-d {network} -j RETURN" in rule for rule in ours) for network in link), ours
    assert len(ours) == 4 + len(link) and len(first) == len(ours) + 3, first
    for user, wanted_port, wanted in ((1000, 80, True), (1000, 8080, True), (0, 80, True), (1000, 81, False), (2102, 80, False)):
        answer = said(user, away, wanted_port)
        assert (answer == "proxy") == wanted, f"user {user} to {away}:{wanted_port}: {answer}"
    local = "127.0.0.1" if program == "iptables" else "::1"
    assert said(1000, local, 80) == "ConnectionRefusedError", "what stays in the pod was redirected"

refused = subprocess.run([PROGRAM, "intercept", "--ports", "80", "--to", "80"], capture_output=True, text=True)
assert refused.returncode == 2 and "to itself" in refused.stderr, refused
bare = subprocess.run([PROGRAM, "intercept", "--ports", "80", "--to", "81"], env={"PATH": "/nonexistent"}, capture_output=True, text=True)
assert bare.returncode == 1 and "iptables" in bare.stderr and "hint: " in bare.stderr, bare
print("the listed ports of others go to the proxy, for everybody but itself, over IPv4 and IPv6; twice is once")
