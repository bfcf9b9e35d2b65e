"""An API server that knows one Secret or none: as much of a cluster as Helm's `lookup` asks for."""

import contextlib
import http.server
import json
import threading

import helm_python
import yaml

from rendered import CHART, NAME, NAMESPACE

VERBS = ["get", "list"]
FIXED = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1",
                "resources": [{"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": VERBS}]},
}


@contextlib.contextmanager
def with_secret(secret):
    """Yields the settings by which Helm reaches a cluster that has this Secret, or none, in the namespace of the tests."""

    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.split("?")[0].rstrip("/")
            answer = FIXED.get(path)
            if secret and path == f"/api/v1/namespaces/{NAMESPACE}/secrets/{secret['metadata']['name']}":
                answer = secret
            code = 200 if answer else 404
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": f"no {path}"}
            body = json.dumps(answer or missing).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    names = {"clusters": {"cluster": {"server": address}}, "users": {"user": {}}, "contexts": {"context": {"cluster": "one", "user": "one"}}}
    settings = {"apiVersion": "v1", "kind": "Config", "current-context": "one"} | {key: [{"name": "one", **value}] for key, value in names.items()}
    try:
        with helm_python.Config(kubeconfig_content=yaml.safe_dump(settings), namespace=NAMESPACE) as config:
            yield config
    finally:
        server.shutdown()
        server.server_close()


def rendered_beside(secret, values):
    """The Secret with the certificate as Helm renders it in a cluster that has this one already, or none."""
    with with_secret(secret) as config, helm_python.Chart.load(str(CHART)) as chart:
        files = config.render(chart, values, name=NAME, namespace=NAMESPACE)
    [text] = [text for path, text in files.items() if path.endswith("/certificate.yaml")]
    return yaml.safe_load(text)
