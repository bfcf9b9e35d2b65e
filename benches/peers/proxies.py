"""The upstreams and the proxies: each writes its configuration into a folder and returns its command.

Every proxy splits 90 to 10 over two upstream ports, writes no access log, keeps its upstream connections and has one worker.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from machine import Trouble, free_ports

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
ENVOY = "1.40.0"
CANARY_SHARE = 0.10

NGINX_COMMON = """
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid {folder}/{name}.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 60s; sendfile on; http2_max_concurrent_streams 256;
    client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy; fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi; scgi_temp_path {folder}/{name}-scgi;
    {servers}
}}
"""


def nginx(name, folder, servers):
    path = Path(folder) / f"{name}.conf"
    path.write_text(NGINX_COMMON.format(folder=folder, name=name, servers=servers))
    return ["nginx", "-p", folder, "-e", "stderr", "-c", path]


def upstreams(folder, workload, stable, canary):
    """One nginx with two ports; the answer says which version gave it. A large answer is a file."""
    files = Path(folder) / "answers"
    files.mkdir(exist_ok=True)
    files.chmod(0o755)
    (files / "index.html").write_text("x" * workload.answer_bytes)
    answer = f"root {files};" if workload.answer_bytes > 2048 else f'return 200 "{"x" * workload.answer_bytes}";'
    speaks = " http2" if workload.back == "h2" else ""
    server = "server {{ listen 127.0.0.1:{port}{speaks} backlog=1024; location / {{ add_header X-Version {version}; {answer} }} }}"
    return nginx(
        "upstreams", folder, "\n".join(server.format(port=port, speaks=speaks, version=v, answer=answer) for port, v in ((stable, "a"), (canary, "b")))
    )


def certificate(folder):
    """Makes a throw-away certificate; returns the files of the chain, the key, and both together."""
    chain, key, both = (Path(folder) / name for name in ("cert.pem", "key.pem", "both.pem"))
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=bench.test"]
    subprocess.run([*made, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", chain], check=True, capture_output=True)
    both.write_text(chain.read_text() + key.read_text())
    for file in (chain, key, both):
        file.chmod(0o644)
    return chain, key, both


class Setting:
    """What a proxy is told besides its ports: what is spoken in front and behind, and the certificate where that is encrypted."""

    def __init__(self, workload, certificate=None, same_fields=False):
        self.front, self.back, self.tls, self.same_fields = workload.front, workload.back, workload.tls, same_fields
        self.chain, self.key, self.both = certificate or (None, None, None)


HAPROXY_FIELDS = """
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request add-header Via "1.1 haproxy"
    http-response add-header Via "1.1 haproxy"
"""
NGINX_FIELDS = """
            {to}_set_header X-Forwarded-For $remote_addr; {to}_set_header X-Forwarded-Proto http;
            {to}_set_header X-Forwarded-Port $server_port; {to}_set_header X-Forwarded-Host $http_host;
            {to}_set_header Via "1.1 nginx"; add_header Via "1.1 nginx";
"""


def haproxy(folder, listen, stable, canary, setting):
    path = Path(folder) / "haproxy.cfg"
    bind = f"ssl crt {setting.both} alpn h2,http/1.1" if setting.tls else ""
    speaks = "proto h2" if setting.back == "h2" else ""
    path.write_text(
        f"""
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 1s
    timeout client 60s
    timeout server 60s
listen split
    bind 127.0.0.1:{listen} {bind}
    balance roundrobin
    server a 127.0.0.1:{stable} weight 90 {speaks}
    server b 127.0.0.1:{canary} weight 10 {speaks}
{HAPROXY_FIELDS if setting.same_fields else ""}"""
    )
    return ["haproxy", "-db", "-f", path]


def nginx_proxy(folder, listen, stable, canary, setting):
    # nginx speaks HTTP/2 to upstreams by its module for gRPC alone.
    to = "grpc" if setting.back == "h2" else "proxy"
    http1 = "" if to == "grpc" else 'proxy_http_version 1.1; proxy_set_header Connection "";'
    speaks = f"{' ssl' if setting.tls else ''}{' http2' if setting.front == 'h2' else ''}"
    certificate = f"ssl_certificate {setting.chain}; ssl_certificate_key {setting.key};" if setting.tls else ""
    fields = NGINX_FIELDS.format(to=to) if setting.same_fields else ""
    servers = f"""
    upstream split {{ server 127.0.0.1:{stable} weight=9; server 127.0.0.1:{canary} weight=1; keepalive 128; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{listen}{speaks} backlog=1024; {certificate}
        location / {{ {to}_pass {to if to == "grpc" else "http"}://split; {http1} {to}_set_header Host $host; {fields} }}
    }}"""
    return nginx("nginx", folder, servers)


def envoy(folder, listen, stable, canary, setting):
    kind = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "split",
        "generate_request_id": False,
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}.filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 90}, {"name": "b", "weight": 10}]}},
                        }
                    ],
                }
            ]
        },
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if setting.tls:
        files = {"certificate_chain": {"filename": str(setting.chain)}, "private_key": {"filename": str(setting.key)}}
        common = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [files]}
        context = {"@type": f"{kind}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}
        chain["transport_socket"] = {"name": "tls", "typed_config": context}

    def place(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def cluster(name, port):
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": place(port)}}]}]
        options = {"@type": f"{kind}.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
        more = {"typed_extension_protocol_options": {f"{kind[20:]}.upstreams.http.v3.HttpProtocolOptions": options}}
        return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **(more if setting.back == "h2" else {})}

    resources = {
        "listeners": [{"name": "front", "address": place(listen), "filter_chains": [chain]}],
        "clusters": [cluster("a", stable), cluster("b", canary)],
    }
    path = Path(folder) / "envoy.json"
    path.write_text(json.dumps({"static_resources": resources}))
    return [envoy_program(), "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def envoy_program():
    """Where the package of PyPI puts it, once it is installed."""
    return next((TARGET / f"envoy-{ENVOY}").glob("lib/python*/site-packages/envoy/_bin/envoy"), None)


def pingora(_folder, listen, stable, canary, setting):
    tls = [setting.chain, setting.key] if setting.tls else []
    return [TARGET / "peers" / "release" / "split", *(f"127.0.0.1:{port}" for port in (listen, stable, canary)), setting.back, *tls]


def portcullis(folder, listen, stable, canary, setting, program=None):
    """Gates, metrics and the tripwire are on; the step lasts longer than any measurement."""
    address = f"127.0.0.1:{listen}"
    where = {"address": address, "tls": {"certificates": [{"chain": str(setting.chain), "key": str(setting.key)}]}} if setting.tls else address
    speaks = {"protocol": "http2"} if setting.back == "h2" else {}
    config = {
        "listen": [where],
        "admin": f"127.0.0.1:{free_ports(1)[0]}",
        "state": tempfile.mkdtemp(prefix="state-", dir=folder),
        "workers": 1,
        "services": [
            {
                "name": "split",
                "stable": {"version": "a", "endpoints": [f"127.0.0.1:{stable}"], **speaks},
                "canary": {"version": "b", "endpoints": [f"127.0.0.1:{canary}"], **speaks},
                "gates": ["p95 < 1s", "errors < 1%"],
                "plan": {"steps": [{"weight": f"{CANARY_SHARE:.0%}", "hold": "1h"}, {"weight": "100%", "hold": "1m"}]},
            }
        ],
    }
    path = Path(tempfile.mkstemp(prefix="portcullis-", suffix=".yaml", dir=folder)[1])
    path.write_text(json.dumps(config))  # JSON is YAML.
    return [program or portcullis_program(), "run", path]


def portcullis_program():
    return TARGET / "release" / "portcullis"


def pipe(_folder, listen, stable, canary, _setting):
    return [TARGET / "peers" / "release" / "pipe", f"127.0.0.1:{listen}", f"127.0.0.1:{stable}", f"127.0.0.1:{canary}"]


PROXIES = {"portcullis": portcullis, "haproxy": haproxy, "nginx": nginx_proxy, "envoy": envoy, "pingora": pingora, "pipe": pipe}


def command(name, folder, ports, setting):
    """The command of a proxy that listens on the first of three ports, before the versions on the others."""
    if name not in PROXIES:
        raise Trouble(f"there is no proxy {name}; there are {', '.join(PROXIES)}")
    return PROXIES[name](folder, *ports, setting)
