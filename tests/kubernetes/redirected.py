"""Redirects for real: a client in a network namespace, the rules of the init container, the proxy as its user, and a world outside.
Started with unshare --net."""

import encodings.idna  # Before a user is taken that may not read the interpreter's files.
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROGRAM, HERE = sys.argv[1], Path(__file__).parent
V4, V6, UID = "192.0.2.1", "2001:db8::1", 2102
TABLES = ("iptables", "ip6tables")
started = []


def shell(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, (words, done)
    return done.stdout


def saved():
    lines = [line for program in TABLES for line in shell(f"{program}-save", "-t", "nat").splitlines()]
    return [re.sub(r"\[\d+:\d+\]", "[0:0]", line) for line in lines if not line.startswith("#")]


def eventually(what, holds):
    end = time.monotonic() + 30
    while not (found := holds()):
        assert time.monotonic() < end, f"{what} has not come about; the proxy says:\n{log()}"
        time.sleep(0.05)
    return found


def log():
    return Path(folder, "log").read_text()[-4000:]


def ask(host, port=80, name=None):
    """One request on a connection of its own; returns the status and the body."""
    with socket.create_connection((host, port), timeout=20) as talk:
        talk.sendall(f"GET / HTTP/1.1\r\nHost: {name or 'other.test'}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: talk.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def ask_http2(host, port, name):
    bare = f"[{host}]" if ":" in host else host
    out = shell("curl", "-gsS", "--max-time", "20", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", "-H", f"Host: {name}",
                f"http://{bare}:{port}/")
    return out.rsplit(" ", 2)


def figure(name):
    text = urllib.request.urlopen("http://127.0.0.1:9090/metrics", timeout=10).read().decode()
    found = re.search("^" + re.escape(name) + r" (\S+)$", text, re.M)
    assert found, f"{name} is not among the metrics"
    return float(found.group(1))


def spoken():
    return [figure(f'portcullis_intercepted_connections_total{{protocol="{one}"}}') for one in ("http1", "http2", "opaque")]


def refused(reason):
    return figure(f'portcullis_intercepted_refused_total{{reason="{reason}"}}')


def start(words, **more):
    one = subprocess.Popen(words, **more)
    started.append(one)
    return one


def configure(services):
    Path(folder, "config.yaml").write_text(f"listen: 127.0.0.1:1\nadmin: 127.0.0.1:9090\nstate: state\nworkers: 2\n{services}")


def start_proxy():
    """The proxy as the pod has it: its user, and no right to anything."""
    text = open(f"{folder}/log", "w")
    start([ALIKE, "run", f"{folder}/config.yaml", "--intercepted", "127.0.0.1:4140", "--intercepted", "[::1]:4140"], user=UID, group=UID,
          extra_groups=[], stdin=subprocess.DEVNULL, stdout=text, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, "PORTCULLIS_LOG": "debug"})
    eventually("the proxy listens", lambda: "admin on http://127.0.0.1:9090" in log())


def world():
    """A namespace of its own behind a link."""
    outside = start(["unshare", "--net", "--", sys.executable, "-c", "import sys, subprocess; print('made', flush=True); sys.stdin.readline();"
                     "sys.exit(subprocess.call(sys.argv[1:]))", sys.executable, HERE / "elsewhere.py", folder, V4, V6],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert outside.stdout.readline() == "made\n"
    shell("ip", "link", "set", "lo", "up")
    shell("ip", "link", "add", "away", "type", "veth", "peer", "name", "there", "netns", str(outside.pid))
    shell("ip", "addr", "add", "192.0.2.2/24", "dev", "away")
    shell("ip", "-6", "addr", "add", "2001:db8::2/64", "dev", "away", "nodad")
    shell("ip", "link", "set", "away", "up")
    inside = ("nsenter", f"--net=/proc/{outside.pid}/ns/net", "ip")
    shell(*inside, "addr", "add", f"{V4}/24", "dev", "there")
    shell(*inside, "-6", "addr", "add", f"{V6}/64", "dev", "there", "nodad")
    shell(*inside, "link", "set", "lo", "up")
    shell(*inside, "link", "set", "there", "up")
    outside.stdin.write("go\n")
    outside.stdin.flush()
    assert outside.stdout.readline() == "ready\n"
    # Another proxy, for it speaks HTTP/2 with prior knowledge.
    for name, listens in (("h2", f"{V4}:8080"), ("h2v6", f"[{V6}]:8080")):
        start(["nsenter", f"--net=/proc/{outside.pid}/ns/net", PROGRAM, "run", "--listen", listens, "--admin", f"unix:{folder}/{name}.sock",
               "--state", f"{folder}/{name}", "--stable", f"v1={V4}:80"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
              stderr=subprocess.DEVNULL)
        bare = listens.rsplit(":", 1)[0].strip("[]")
        eventually("HTTP/2 outside", lambda: works(lambda: ask(bare, 8080)))


def works(attempt):
    try:
        return attempt()
    except OSError:
        return None


def protocols():
    """Every protocol over both families, by the proxy."""
    for host in (V4, V6):
        before, passed = spoken(), figure("portcullis_intercepted_passed_requests_total")
        assert ask(host, 80) == (200, "elsewhere"), f"a host that nobody has configured, over {host}"
        assert ask(host, 80, "carts") == (200, "v1"), f"a service, over {host}"
        assert ask_http2(host, 8080, "other.test") == ["elsewhere", "2", "200"], f"HTTP/2 to elsewhere, over {host}"
        assert ask_http2(host, 8080, "carts") == ["v1", "2", "200"], f"HTTP/2 to a service, over {host}"
        with socket.create_connection((host, 25), timeout=20) as talk:
            assert talk.recv(4096) == b"220 mail ready\r\n", "a server that speaks first"
            talk.sendall(b"HELO a\r\n")
            assert talk.recv(4096) == b"HELO a\r\n"
            talk.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: talk.recv(4096), b"")) == b"heard 8", "half an end is none"
        context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
        with socket.create_connection((host, 443), timeout=20) as plain, context.wrap_socket(plain, server_hostname="other.test") as talk:
            talk.sendall(b"GET / HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n")
            assert b"".join(iter(lambda: talk.recv(4096), b"")).endswith(b"behind TLS"), "TLS passes, with the certificate from outside"
        assert [now - then for now, then in zip(spoken(), before)] == [2, 2, 2], (before, spoken())
        assert figure("portcullis_intercepted_passed_requests_total") == passed + 2


def said_as(user, host, port):
    """What a server says first to a process of some user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(user)
        try:
            with socket.create_connection((host, port), timeout=20) as talk:
                os.write(writing, talk.recv(4096))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def no_loops(rules):
    for host in ("127.0.0.1", "::1"):
        before = refused("direct")
        with socket.create_connection((host, 4140), timeout=20) as talk:
            assert talk.recv(1) == b"", "a direct call of the listener is not closed at once"
        assert refused("direct") == before + 1
    # With another user left out, what the proxy sends comes back to it.
    shell(*rules, "--except-uid", "9999")
    before, accepted = refused("loop"), figure("portcullis_connections_accepted_total")
    for port in (25, 443):
        with socket.create_connection((V4, port), timeout=20) as talk:
            try:
                assert talk.recv(4096) == b""
            except ConnectionResetError:
                pass
    assert ask(V4, 80)[0] == 508, "a request came back and was passed on again"
    assert ask(V4, 80, "carts") == (200, "v1"), "the versions listen on ports that are not redirected"
    assert refused("loop") >= before + 2 and figure("portcullis_connections_accepted_total") - accepted < 50, "round and round"
    shell(*rules)


def shared_ports():
    """The system gives one port to connections that go to different places: none of the client's is taken for one the proxy has made."""
    ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
    usual, before = ports.read_text(), refused("loop")
    ports.write_text("40000 40001")
    try:
        with socket.create_connection((V4, 25), timeout=20) as talk:
            # The proxy's own connection there has the one port that this one has not.
            assert talk.recv(4096) == b"220 mail ready\r\n"
            two = [socket.create_connection((V4, 80), timeout=20) for _ in range(2)]
            assert sorted(one.getsockname()[1] for one in two) == [40000, 40001]
            for one in two:
                one.sendall(b"GET / HTTP/1.1\r\nHost: carts\r\n\r\n")
            for one in two:
                answer = one.recv(4096)
                assert answer.startswith(b"HTTP/1.1 200 "), (answer, refused("loop") - before)
                one.close()
    finally:
        ports.write_text(usual)


def rollback():
    """A slow version is taken back while a client asks through the redirect."""
    configure(f"""services:
  - name: carts
    hosts: [carts]
    stable: {{version: v1, endpoints: ["{V4}:8081"]}}
    canary: {{version: v2, endpoints: ["{V4}:8082"]}}
    gates: ["p95 < 300ms"]
    burst_tolerance: 0s
    plan: {{start: 50%, hold: 1m}}
""")
    status = lambda: json.loads(urllib.request.urlopen("http://127.0.0.1:9090/v1/rollouts", timeout=10).read())
    eventually("the share of v2", lambda: '"v2"' in json.dumps(status()))
    seen = []

    def rolled_back():
        seen.append(ask(V4, 80, "carts"))
        return '"rolled_back"' in json.dumps(status()).lower() or "rolledback" in json.dumps(status()).lower()

    eventually("the rollback", rolled_back)
    answers = [body for _, body in seen]
    assert "v2" in answers and all(code == 200 for code, _ in seen), seen
    after = [ask(V4 if turn % 2 else V6, 80, "carts") for turn in range(40)]
    assert set(after) == {(200, "v1")}, after
    assert figure('portcullis_rollbacks_total{service="carts"}') == 1


with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    # Where other users may run it, and write their state.
    ALIKE = shutil.copy(PROGRAM, folder)
    os.mkdir(f"{folder}/state")
    os.chown(f"{folder}/state", UID, UID)
    configure(f"""services:
  - {{name: carts, hosts: [carts], stable: {{version: v1, endpoints: ["{V4}:8081"]}}}}
""")
    shell("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=other.test",
          "-addext", "subjectAltName=DNS:other.test", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem")
    rules = [PROGRAM, "intercept", "--ports", "25,80,443,8080", "--to", "4140", "--admin-port", "9090", "--ip-families", "dual"]
    try:
        world()
        before = saved()
        start_proxy()
        assert ask(V4) == (200, "elsewhere") and spoken() == [0, 0, 0], "without rules nothing is redirected"
        shell(*rules)
        protocols()
        passed = spoken()
        assert said_as(UID, V4, 25) == b"220 mail ready\r\n" and spoken() == passed, "the proxy's user was redirected"
        assert said_as(1000, V4, 25) == b"220 mail ready\r\n" and spoken()[2] == passed[2] + 1
        no_loops(rules)
        shared_ports()
        protocols()
        rollback()
        shell(PROGRAM, "intercept", "--remove", "--ip-families", "dual")
        assert saved() == before, (saved(), before)
        passed = spoken()
        assert ask(V4) == (200, "elsewhere") and ask(V6) == (200, "elsewhere") and spoken() == passed, "still redirected"
    finally:
        for one in reversed(started):
            one.kill()
            one.wait()
print("HTTP/1, HTTP/2, a server that speaks first and TLS pass the redirect over IPv4 and IPv6; no loop; a slow version is rolled back through it")
