"""Holds the chart to Helm's engine and linter, to the schemas of Kubernetes, to the program's own check, and the Kustomize base to the chart.

Arguments: the program, and a file that takes the manifests of custom resources, which another step checks.
"""

import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import helm_python
import kubernetes_validate
import yaml

from cluster import rendered_beside
from rendered import CHART, KUSTOMIZE, NAME, NAMESPACE, ROOT, USUAL, base, every_pair, merged, of_kind, render

# The last four minors.
VERSIONS = ["1.34.0", "1.35.0", "1.36.0", "1.37.0"]
CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate"}
# Values that are refused, and what is said of them.
REFUSED = [
    ({"config": {"services": []}}, "config.services is empty"),
    ({"admin": {"tokens": []}}, "admin.tokens is empty"),
    ({"admin": {"tokens": [{"name": "ann", "role": "operator", "secretName": "a", "secretKey": "b"}]}, "monitoring": {"serviceMonitor": True}},
     "has none with the role viewer"),
    ({"admin": {"tokens": [{"name": "ann", "role": "root", "secretName": "a", "secretKey": "b"}]}}, "must be one of 'viewer', 'operator', 'admin'"),
    ({"admin": {"tokens": [{"name": "ann", "role": "viewer", "token": "secret"}]}}, "additional properties 'token' not allowed"),
    ({"replicas": 2}, "belongs to one running proxy"),
    ({"replicas": 2, "state": {"kind": "emptyDir"}, "httpRoutes": [{"name": "shop"}]}, "would undo each other's shares"),
    ({"state": {"kind": "existingClaim", "claimName": ""}}, "name the PersistentVolumeClaim"),
    ({"state": {"kind": "hostPath"}}, "must be one of"),
    ({"admin": {"tls": {"source": "secret", "secretName": ""}}}, "admin.tls.secretName is empty"),
    ({"admin": {"tls": {"source": "certManager", "issuer": {"name": ""}}}}, "admin.tls.issuer.name is empty"),
    ({"traffic": {"port": 9090}}, "each needs one of its own"),
    ({"config": {"admin": "127.0.0.1:9090"}}, "invalid propertyName 'admin'"),
    ({"config": {"timeouts": {"drain": "5s"}}}, "invalid propertyName 'drain'"),
    ({"repliccas": 2}, "additional properties 'repliccas' not allowed"),
    ({"httpRoutes": [{"namespace": "shop"}]}, "missing property 'name'"),
    ({"files": {"config.yaml": "listen: 1"}}, "invalid propertyName 'config.yaml'"),
    ({"files": {"../passwd": ""}}, "invalid propertyName '../passwd'"),
    # A key of the chart's own would stand twice in a mapping.
    ({"podLabels": {"app.kubernetes.io/instance": "other"}}, "invalid propertyName 'app.kubernetes.io/instance'"),
    ({"podLabels": {"app.kubernetes.io/version": "2"}}, "invalid propertyName 'app.kubernetes.io/version'"),
    ({"podAnnotations": {"checksum/process": "0"}}, "invalid propertyName 'checksum/process'"),
    ({"monitoring": {"labels": {"helm.sh/chart": "other"}}}, "invalid propertyName 'helm.sh/chart'"),
]


def subset(selector, labels):
    return selector.items() <= labels.items()


def check_schemas(manifests, seen):
    """Every manifest that has not been seen against the schemas of four versions; custom resources are kept for another step."""
    for manifest in manifests:
        text = json.dumps(manifest, sort_keys=True)
        if text in seen:
            continue
        seen[text] = manifest
        for version in VERSIONS if manifest["kind"] not in CUSTOM else []:
            kubernetes_validate.validate(manifest, version, strict=True)


def check_sense(manifests):
    """What no schema knows: names that must fit one another, and what a pod must not be allowed."""
    deployment = of_kind(manifests, "Deployment")["spec"]
    pod, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert subset(deployment["selector"]["matchLabels"], labels)
    services = [one for one in manifests if one["kind"] == "Service"]
    ours = [one for one in services if "app" not in one["spec"]["selector"]]
    assert len(ours) == 2 and all(subset(one["spec"]["selector"], labels) for one in ours)
    assert all(port["targetPort"] in ports for one in ours for port in one["spec"]["ports"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    mounts, volumes = [mount["name"] for mount in container["volumeMounts"]], [volume["name"] for volume in pod["volumes"]]
    assert sorted(mounts) == sorted(volumes) and len(set(volumes)) == len(volumes), (mounts, volumes)
    # Pod Security Standards, restricted; and nothing of the node.
    own, shared = container["securityContext"], pod["securityContext"]
    assert shared["runAsNonRoot"] and shared["runAsUser"] > 0 and shared["seccompProfile"]["type"] == "RuntimeDefault"
    assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"] and own["capabilities"] == {"drop": ["ALL"]}
    assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")) and not any("hostPath" in volume for volume in pod["volumes"])
    account = of_kind(manifests, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False and pod["serviceAccountName"] == account["metadata"]["name"]
    roles = [one for one in manifests if one["kind"] == "Role"]
    assert pod["automountServiceAccountToken"] is bool(roles)
    written = [rule for role in roles for rule in role["rules"]]
    # Whoever only looks may only look.
    looks = [rule for role in roles if role["metadata"]["name"].endswith("-discovery") for rule in role["rules"]]
    assert all(rule["verbs"] == ["list", "watch"] and rule["resources"] in (["endpointslices"], ["pods"]) for rule in looks), looks
    routes = [rule for role in roles if "-route-" in role["metadata"]["name"] for rule in role["rules"]]
    assert all(rule["verbs"] == ["get", "patch"] and rule["resources"] == ["httproutes"] and len(rule["resourceNames"]) == 1 for rule in routes), routes
    assert len({(role["metadata"]["namespace"], role["metadata"]["name"]) for role in roles}) == len(roles)
    assert not any("*" in rule["verbs"] + rule["resources"] or "secrets" in rule["resources"] for rule in written)
    configuration = yaml.safe_load(of_kind(manifests, "ConfigMap", deployment_name(manifests))["data"]["config.yaml"])
    drain = int(configuration["timeouts"]["drain"].removesuffix("s"))
    assert pod["terminationGracePeriodSeconds"] > drain + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    # One writer of a volume and of a route: never two pods of it at a time.
    strategy = deployment["strategy"]["type"]
    kept = any("persistentVolumeClaim" in volume for volume in pod["volumes"]) or bool(routes)
    assert strategy == ("Recreate" if kept else "RollingUpdate") and (not kept or deployment["replicas"] == 1)
    policies = [one for one in manifests if one["kind"] == "NetworkPolicy"]
    for rule in (rule for policy in policies for rule in policy["spec"]["ingress"]):
        named = {port["port"] for port in rule["ports"]}
        assert named <= set(ports) and ("admin" not in named or rule.get("from")), f"the admin port is open to everybody: {rule}"
    for budget in (one for one in manifests if one["kind"] == "PodDisruptionBudget"):
        assert subset(budget["spec"]["selector"]["matchLabels"], labels)
    for monitor in (one for one in manifests if one["kind"] in ("ServiceMonitor", "PodMonitor")):
        selected = [labels] if monitor["kind"] == "PodMonitor" else [one["metadata"]["labels"] for one in services]
        assert sum(subset(monitor["spec"]["selector"]["matchLabels"], one) for one in selected) == 1
    # Whatever is secret stands in Secrets that the chart only names, but for a certificate that it makes.
    secrets = [one for one in manifests if one["kind"] == "Secret"]
    assert all(one["type"] == "kubernetes.io/tls" and set(one["data"]) == {"ca.crt", "tls.crt", "tls.key"} for one in secrets)


def deployment_name(manifests):
    return of_kind(manifests, "Deployment")["metadata"]["name"]


def check_configuration(manifests, program, folder):
    """The configuration by the program itself, with the pod's secrets in a folder of this machine."""
    data = of_kind(manifests, "ConfigMap", deployment_name(manifests))["data"]
    for name, text in data.items():
        (folder / name).write_text(text.replace("/run/secrets/portcullis", str(folder / "secrets")))
    checked = subprocess.run([program, "check", folder / "config.yaml"], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stdout + checked.stderr + (folder / "config.yaml").read_text()


def secrets_of_a_pod(folder):
    """What the Secrets of the usual values hold, as files."""
    for name in ("tokens", "admin-tls", "traffic-tls"):
        (folder / "secrets" / name).mkdir(parents=True)
    for name in ("prometheus", "ann"):
        token = folder / "secrets/tokens" / name
        token.write_text(name.ljust(40, "x"))
        token.chmod(0o440)
    pair = of_kind(render(merged(USUAL, {"admin": {"tls": {"source": "generated"}}})), "Secret")["data"]
    for place in ("admin-tls", "traffic-tls"):
        for name, text in pair.items():
            file = folder / "secrets" / place / name
            file.write_bytes(base64.b64decode(text))
            file.chmod(0o440)
    names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", folder / "secrets/admin-tls/tls.crt"],
                           capture_output=True, text=True, check=True, timeout=30).stdout
    assert f"DNS:{NAME}-admin.{NAMESPACE}.svc" in names, names
    subprocess.run(["openssl", "verify", "-CAfile", folder / "secrets/admin-tls/ca.crt", folder / "secrets/admin-tls/tls.crt"],
                   capture_output=True, check=True, timeout=30)


def lint(values):
    found = helm_python.lint(str(CHART), values, strict=True, namespace=NAMESPACE)
    # An icon is recommended, which is information (1); warnings are 2, errors 3.
    told = [message for message in found["messages"] if message["severity"] > 1] + found["errors"]
    assert not told, told


def check_refusals():
    for change, expected in REFUSED:
        try:
            render(merged(USUAL, change))
        except helm_python.HelmError as refused:
            assert expected in str(refused), f"{change} was refused with other words than {expected!r}:\n{refused}"
        else:
            raise AssertionError(f"{change} was taken; expected: {expected!r}")


def check_restarts():
    """A change of services leaves the pod alone; a change of what belongs to the process makes a new one."""
    template = lambda change: of_kind(render(merged(USUAL, change)), "Deployment")["spec"]["template"]
    usual = template({})
    services = [{"name": "shop", "stable": {"version": "1.5.0", "endpoints": ["localhost:8082"]}}]
    assert template({"config": {"services": services}}) == usual and template({"config": {"strict_http": True}}) == usual
    for change in ({"config": {"workers": 3}}, {"config": {"kubernetes": {"wait": "5s"}}}, {"traffic": {"tls": {"secretName": "shop-cert"}}}, {"admin": {"hosts": ["gate.example.com"]}}):
        assert template(change) != usual, f"{change} needs a new pod"


def check_certificate():
    """The certificate that Helm made is kept for as long as it is for the names the admin API is called by, and made anew else."""
    values = merged(USUAL, {"admin": {"tls": {"source": "generated", "secretName": ""}}})
    first = rendered_beside(None, values)
    assert rendered_beside(first, values) == first, "the certificate changes with each upgrade"
    moved = merged(values, {"admin": {"hosts": ["gate.example.com"]}})
    other = rendered_beside(first, moved)
    names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=base64.b64decode(other["data"]["tls.crt"]),
                           capture_output=True, check=True, timeout=30).stdout.decode()
    assert "DNS:gate.example.com" in names, f"the certificate is not for the new name: {names}"
    assert rendered_beside(other, moved) == other and rendered_beside(other, values) != other


def check_overlays():
    """Each selector of the base goes by the instance too, and by nothing that is not the gateway's: one label tells two of them apart."""
    for file in sorted((KUSTOMIZE / "base").iterdir()):
        manifest = yaml.safe_load(file.read_text())
        for selector in selectors(manifest.get("spec", {})):
            assert selector.get("app.kubernetes.io/instance") == "portcullis" and all(key.startswith("app.kubernetes.io/") for key in selector), \
                f"{file.name} selects pods by {selector}, which a label of an overlay would keep from matching"


def selectors(spec):
    if "selector" in spec:
        yield spec["selector"].get("matchLabels", spec["selector"])
    if "podSelector" in spec:
        yield spec["podSelector"]["matchLabels"]


def check_base():
    expected = base()
    committed = {file.name: file.read_text() for file in (KUSTOMIZE / "base").iterdir()}
    apart = sorted(name for name in expected.keys() | committed.keys() if expected.get(name) != committed.get(name))
    assert not apart, f"deploy/kustomize/base is not what the chart renders: {', '.join(apart)}; run tests/deploy/run --render"
    for text in committed.values():
        manifest = yaml.safe_load(text)
        if manifest["kind"] != "Kustomization":
            assert manifest["kind"] not in CUSTOM and manifest["kind"] != "Secret"
            for version in VERSIONS:
                kubernetes_validate.validate(manifest, version, strict=True)


def check_page(seen):
    """The values that deploy/README.md shows."""
    page = (ROOT / "deploy/README.md").read_text()
    [text] = re.findall(r"^```yaml\n(# shop.yaml\n.*?)^```$", page, re.M | re.S)
    manifests = render(yaml.safe_load(text))
    check_schemas(manifests, seen)
    check_sense(manifests)


def check_package(folder):
    """The packed chart brings what its templates read of other folders, and renders the same."""
    packed = helm_python.package(str(CHART), destination=str(folder))
    archive = pathlib.Path(packed if isinstance(packed, str) else packed["path"])
    shutil.unpack_archive(archive, folder)
    for name, origin in (("dashboard.json", "grafana/portcullis.json"), ("rules.yaml", "prometheus/rules.yaml")):
        assert (folder / CHART.name / "files" / name).read_bytes() == (ROOT / "deploy" / origin).read_bytes(), name


def main():
    program, custom_file = sys.argv[1:]
    seen, count, start = {}, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        secrets_of_a_pod(folder)
        for chosen, values in every_pair():
            try:
                manifests = render(values)
                check_schemas(manifests, seen)
                check_sense(manifests)
                check_configuration(manifests, program, folder)
                lint(values)
            except Exception:
                print("with these values:", {".".join(map(str, path)): value for path, value in chosen.items()}, file=sys.stderr)
                raise
            count += 1
        check_package(folder)
    check_page(seen)
    check_refusals()
    check_restarts()
    check_certificate()
    check_overlays()
    check_base()
    custom = [manifest for manifest in seen.values() if manifest["kind"] in CUSTOM]
    assert {one["kind"] for one in custom} == CUSTOM
    examples = [yaml.safe_load((ROOT / "deploy/examples/argo-rollouts.yaml").read_text())]
    pathlib.Path(custom_file).write_text(json.dumps(custom + examples))
    print(f"chart: {count} releases with every pair of values rendered and linted, {len(seen)} manifests valid for Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}, "
          f"and taken by the program; {len(REFUSED)} refusals; the Kustomize base is as rendered; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
