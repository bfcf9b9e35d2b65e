"""What a node does for a pod, as far as one container needs it: lays out its volumes, its root, its names, and runs it as its manifest says.

It runs in network and mount namespaces of its own, so that the pod has an address and nothing of the machine is touched.
"""

import base64
import ctypes
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time

POD, DNS = "10.77.0.2", "10.77.0.53"
WITHIN = 60  # seconds for whatever is awaited


def until(what, ask):
    """Asks again and again until the answer is true, and returns it."""
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            if answer := ask():
                return answer
            last = answer
        except OSError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {WITHIN} s; last: {last!r}")
        time.sleep(0.05)


def address(*addresses):
    """Gives the namespace its addresses."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for one in addresses:
        subprocess.run(["ip", "address", "add", f"{one}/32", "dev", "lo"], check=True)


class Names(socketserver.ThreadingUDPServer):
    """A name server like the cluster's: A records of Services, and nothing for any other name (RFC 1035)."""

    def __init__(self, records):
        self.records = records
        super().__init__((DNS, 53), self.Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Answer(socketserver.BaseRequestHandler):
        def handle(self):
            query, reply = self.request
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            question = query[12:at + 5]
            found = self.server.records.get(".".join(labels).lower())
            ours = found if found and question[-4:-2] == b"\0\1" else []
            flags = 0x8580 if found is not None else 0x8583  # an authority's answer; NXDOMAIN
            records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(one) for one in ours)
            reply.sendto(query[:2] + struct.pack(">HHHHH", flags, 1, len(ours), 0, 0) + question + records, self.client_address)


def project(folder, files, mode, group):
    """Writes a volume of files as the kubelet does: a new folder with all of them, to which a link is turned at once."""
    data = folder / f"..{time.time_ns()}"
    data.mkdir(mode=0o755)
    for name, text in files.items():
        file = data / name
        file.write_bytes(text)
        # Volumes with an fsGroup are its, and readable for it.
        os.chown(file, 0, group)
        file.chmod(mode | 0o040)
    old = folder / "..data"
    before = old.resolve() if old.is_symlink() else None
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(old)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if before:
        shutil.rmtree(before)


class Pod:
    """A pod of a Deployment's template with one container."""

    def __init__(self, folder, manifests, template, image, secrets):
        self.folder, self.spec, self.secrets = folder, template["spec"], secrets
        self.manifests = manifests
        self.group = self.spec["securityContext"]["fsGroup"]
        [self.container] = self.spec["containers"]
        self.image = image
        self.root = folder / "root"
        self.process = None
        self.lay_out()

    def data_of(self, volume):
        """The files of a volume and their mode; None for an empty one."""
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            [found] = [one for one in self.manifests if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name]
            return {key: text.encode() for key, text in found["data"].items()}, 0o644
        if "secret" in volume:
            return self.secrets[volume["secret"]["secretName"]], volume["secret"].get("defaultMode", 0o644)
        if "projected" in volume:
            files = {}
            for source in volume["projected"]["sources"]:
                files |= {item["path"]: self.secrets[source["secret"]["name"]][item["key"]] for item in source["secret"]["items"]}
            return files, volume["projected"].get("defaultMode", 0o644)
        return None, None

    def lay_out(self):
        """Makes the container's root, which nobody may write to but where volumes are mounted."""
        shutil.copytree(self.image / "root", self.root, symlinks=True)
        for folder in ("proc", "dev", *(mount["mountPath"].lstrip("/") for mount in self.container["volumeMounts"])):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/resolv.conf").write_text(f"search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver {DNS}\noptions ndots:5\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{POD} pod\n")
        mount = lambda *arguments: subprocess.run(["mount", *map(str, arguments)], check=True)
        mount("--bind", self.root, self.root)
        mount("-o", "remount,bind,ro", self.root)
        mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", self.root / "proc")
        mount("-t", "tmpfs", "-o", "mode=0755,size=64k", "tmpfs", self.root / "dev")
        for name in ("null", "zero", "random", "urandom"):
            (self.root / "dev" / name).touch()
            mount("--bind", f"/dev/{name}", self.root / "dev" / name)
        for volume in self.spec["volumes"]:
            place = self.volume(volume["name"])
            place.mkdir(parents=True)
            files, mode = self.data_of(volume)
            if files is None:
                os.chown(place, 0, self.group)
                place.chmod(0o2775)
            else:
                project(place, files, mode, self.group)
        for one in self.container["volumeMounts"]:
            place = self.root / one["mountPath"].lstrip("/")
            mount("--bind", self.volume(one["name"]), place)
            if one.get("readOnly"):
                mount("-o", "remount,bind,ro", place)

    def volume(self, name):
        return self.folder / "volumes" / name

    def configure(self, text):
        """Changes the ConfigMap's file while the pod runs."""
        place = self.volume("config")
        files = {file.name: file.read_bytes() for file in place.iterdir() if file.name[:2] != ".."}
        project(place, files | {"config.yaml": text.encode()}, 0o644, self.group)

    def command(self, *arguments):
        """The command that runs something in the container, as its user."""
        user = self.spec["securityContext"]["runAsUser"]
        return [sys.executable, __file__, str(self.root), str(user), str(self.group), json.dumps(self.image_config()["Env"]), *arguments]

    def image_config(self):
        return json.loads((self.image / "config.json").read_text())

    def start(self):
        """Starts the container and awaits its startup probe."""
        arguments = self.image_config()["Entrypoint"] + self.container.get("args", self.image_config()["Cmd"])
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(*arguments), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until("the startup probe", lambda: self.is_alive() and self.probe("startupProbe") == 200)

    def said(self):
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def is_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the container ended with {self.process.returncode}:\n{self.said()}")
        return True

    def probe(self, name):
        """Asks as the kubelet does: by the pod's address, without looking at the certificate."""
        asked = self.container[name]["httpGet"]
        [port] = [port["containerPort"] for port in self.container["ports"] if port["name"] == asked["port"]]
        return request("GET", POD, port, asked["path"], tls=ssl._create_unverified_context() if asked["scheme"] == "HTTPS" else None)[0]

    def execute(self, *arguments):
        """What `kubectl exec` does."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=WITHIN)

    def stop(self):
        """Ends it as the kubelet does, and returns its exit code."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self.spec["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the container did not end within its grace period") from None


    def tear_down(self):
        """Unmounts everything, so that its folder can be removed."""
        mounted = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        for place in reversed([one for one in mounted if one.startswith(str(self.root))]):
            subprocess.run(["umount", place], check=True)


def request(method, host, port, path, headers=None, body=None, tls=None, name=None):
    """Sends one request; `name` is what TLS and the Host field call the server."""
    connection = http.client.HTTPConnection(host, port, timeout=WITHIN)
    connection.connect()
    if tls:
        connection.sock = tls.wrap_socket(connection.sock, server_hostname=name or host)
    connection.request(method, path, body=body, headers={"Host": f"{name or host}:{port}"} | (headers or {}))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text.decode()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def enter(root, user, group, environment, *command):
    """Becomes the container's process: its root, its user without any capability, and nothing that could give it more."""
    os.chroot(root)
    os.chdir("/")
    os.setgroups([int(group)])
    os.setgid(int(group))
    os.setuid(int(user))
    no_new_privileges = 38  # PR_SET_NO_NEW_PRIVS, linux/prctl.h
    assert ctypes.CDLL(None).prctl(no_new_privileges, 1, 0, 0, 0) == 0
    variables = dict(one.split("=", 1) for one in json.loads(environment))
    program = command[0] if "/" in command[0] else str(pathlib.Path(variables["PATH"]) / command[0])
    os.execve(program, list(command), variables)


if __name__ == "__main__":
    enter(*sys.argv[1:])
