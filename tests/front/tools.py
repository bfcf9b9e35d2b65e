"""The built program before h2load, slowhttptest and sslyze, which know nothing of it.

h2load may see no failed request, over HTTP/1.1 and HTTP/2, in clear text and over TLS. slowhttptest may at no moment find the service
unavailable while it is slow with heads, bodies and reading, and may keep no connection. sslyze must find what Mozilla recommends as
intermediate. Exit code: 0 when all of it holds.
"""

import concurrent.futures
import http.server
import pathlib
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PATIENCE = 20.0
BIG = bytes(4 << 20)


class Upstream(http.server.BaseHTTPRequestHandler):
    """A version: small answers, and one that is worth reading slowly."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        body = BIG if self.path.startswith("/big") else b"ok"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_):
        """Whoever is cut off while it is answered is no error here."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def certificate(folder):
    """Makes a certificate for one day."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )
    return chain, key


def await_port(port, tls):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as plain:
                if tls:
                    context = ssl._create_unverified_context()
                    context.wrap_socket(plain, server_hostname="localhost").close()
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def h2load(name, arguments, requests):
    told = subprocess.run(["h2load", "-n", str(requests), *arguments], capture_output=True, text=True, timeout=120).stdout
    line = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", told)
    good = line is not None and line.groups() == (str(requests), str(requests), "0", "0", "0")
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", told)
    print(f"h2load {name}: {line.group(0) if line else told.strip()}; {rate.group(1) if rate else '?'} req/s")
    return good


def slow(name, mode, url, log):
    """Runs slowhttptest for 12 s with 200 connections."""
    command = ["slowhttptest", "-c", "200", "-r", "100", "-l", "12", "-p", "3", "-i", "2", *mode, "-u", url]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    told = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", told)
    pathlib.Path(log).write_text(told)
    available = set(re.findall(r"service available:\s+(\w+)", told))
    print(f"slowhttptest {name}: service available {', '.join(sorted(available))}")
    return available == {"YES"}


def open_connections(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=PATIENCE) as answer:
        return float(re.search(r"^portcullis_connections_open (\S+)", answer.read().decode(), re.M).group(1))


def all_gone(admin, begun):
    """Waits until the proxy has let go of all but the probes: what a slow reader has still to read it does not know as closed."""
    most = 0.0
    while time.monotonic() < begun + 14:
        now = open_connections(admin)
        most = max(most, now)
        if most > 400 and now < 10:
            print(f"slow connections: {most:.0f} open at most, {now:.0f} left {time.monotonic() - begun:.1f} s after the first")
            return True
        time.sleep(0.2)
    print(f"slow connections: {most:.0f} open at most, {now:.0f} still there after 14 s")
    return False


def sslyze(port):
    command = [sys.executable, "-m", "sslyze", "--mozilla_config=intermediate", f"localhost:{port}"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    compliance = told.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    wrong = re.findall(r"^\s+\* (\w+): (.*)$", compliance, re.M)
    # Nobody vouches for a certificate that was made a moment ago.
    wrong = [f"{what}: {why}" for what, why in wrong if what != "certificate_path_validation"]
    print(f"sslyze, Mozilla's intermediate configuration: {'; '.join(wrong) or 'as recommended'}")
    return bool(compliance) and not wrong


def run(program, folder):
    upstream = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    plain, tls, admin = free_port(), free_port(), free_port()
    chain, key = certificate(folder)
    config = folder / "portcullis.yaml"
    config.write_text(
        f"""
listen: ["127.0.0.1:{plain}", {{address: "127.0.0.1:{tls}", tls: {{certificates: [{{chain: {chain}, key: {key}}}]}}}}]
admin: 127.0.0.1:{admin}
state: {folder / "state"}
workers: 2
timeouts: {{header: 3s, body_idle: 3s, write_stall: 3s, keep_alive: 5s}}
limits: {{connections_per_source: off}}
services: [{{name: front, stable: {{version: v1, endpoints: ["127.0.0.1:{upstream.server_address[1]}"]}}}}]
"""
    )
    proxy = subprocess.Popen([program, "run", config], stdout=subprocess.DEVNULL)
    try:
        await_port(plain, False)
        await_port(tls, True)
        good = [
            h2load("HTTP/1.1", ["--h1", "-c", "10", f"http://127.0.0.1:{plain}/"], 5000),
            h2load("HTTP/2, prior knowledge", ["-c", "10", "-m", "20", f"http://127.0.0.1:{plain}/"], 5000),
            h2load("HTTP/2 over TLS", ["-c", "10", "-m", "20", f"https://localhost:{tls}/"], 5000),
            h2load("HTTP/1.1 over TLS", ["--h1", "-c", "10", f"https://localhost:{tls}/"], 5000),
        ]
        url = f"http://127.0.0.1:{plain}"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [
                pool.submit(slow, "slow heads", ["-H"], f"{url}/", folder / "heads.log"),
                pool.submit(slow, "slow bodies", ["-B", "-s", "8192"], f"{url}/", folder / "bodies.log"),
                pool.submit(slow, "slow reading", ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "8", "-k", "3"], f"{url}/big", folder / "reading.log"),
            ]
            good.append(all_gone(admin, time.monotonic()))
            good += [run.result() for run in runs]
        good.append(sslyze(tls))
        for log in sorted(folder.glob("*.log")) if not all(good) else []:
            print(f"--- {log.name}\n{log.read_text()[-1500:]}")
    finally:
        proxy.send_signal(signal.SIGTERM)
        proxy.wait(PATIENCE)
        upstream.shutdown()
    print(f"{sum(good)} of {len(good)} tools are content")
    return all(good)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if run(sys.argv[1], pathlib.Path(folder)) else 1)
