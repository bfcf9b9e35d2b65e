"""What stands outside the pod in redirected.py: two versions, hosts nobody configured, mail that speaks first, and TLS."""

import http.server
import socket
import ssl
import sys
import threading
import time

FOLDER, V4, V6 = sys.argv[1:]
HOSTS = ((socket.AF_INET, V4), (socket.AF_INET6, V6))


class Named(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        """Whoever leaves a slow version has a reason."""


def answering(name, delay=0.0):
    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            time.sleep(delay)
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_):
            pass

    return Answer


def serve(family, host, port, handler, context=None):
    kind = type("Server", (Named,), {"address_family": family})
    server = kind((host, port), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def mail(family, host, port):
    """Speaks first, then says everything back, and what was heard in all once the other side has ended."""
    listener = socket.create_server((host, port), family=family)

    def talk(one):
        one.sendall(b"220 mail ready\r\n")
        heard = 0
        while data := one.recv(4096):
            heard += len(data)
            one.sendall(data)
        one.sendall(b"heard %d" % heard)
        one.close()

    def accept():
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{FOLDER}/cert.pem", f"{FOLDER}/key.pem")
serve(socket.AF_INET, V4, 8081, answering("v1"))
serve(socket.AF_INET, V4, 8082, answering("v2", delay=1.0))
for family, host in HOSTS:
    serve(family, host, 80, answering("elsewhere"))
    serve(family, host, 443, answering("behind TLS"), context)
    mail(family, host, 25)
print("ready", flush=True)
sys.stdin.read()
