"""Holds the injector's chart to Helm's engine and linter, to the schemas of Kubernetes and to the program; and the policy that needs no
webhook to what the program writes.

Arguments: the program, and a file that takes the manifests of custom resources, which another step checks.
"""

import base64
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import helm_python
import kubernetes_validate
import yaml

from cluster import with_secret
from rendered import ROOT, choices, combinations, merged, of_kind, placed

CHART = ROOT / "deploy/helm/portcullis-injector"
POLICY = ROOT / "deploy/kubernetes/policy/policy.yaml"
NAME, NAMESPACE = "portcullis-injector", "portcullis"
VERSIONS = ["1.34.0", "1.35.0", "1.36.0", "1.37.0"]
USUAL = {"certificate": {"issuer": {"name": "ours"}}}
# Values without an enumeration that change what is rendered, beside those that the schema enumerates.
STRUCTURE = {
    ("replicas",): [1, 2],
    ("nameOverride",): ["", "gate"],
    ("image", "digest"): ["", "sha256:" + "0" * 64],
    ("image", "pullSecrets"): [[], ["registry"]],
    ("excludedNamespaces",): [[], ["kube-system", "cert-manager"]],
    ("sidecar", "image"): ["", "registry.example.com/portcullis:1"],
    ("sidecar", "initImage"): ["", "registry.example.com/iptables:1"],
    ("sidecar", "kubeVersion"): ["", "1.28"],
    ("sidecar", "configMap"): ["", "portcullis"],
    ("podLabels",): [{}, {"team": "shop"}],
    ("podAnnotations",): [{}, {"example.com/note": "yes"}],
    ("nodeSelector",): [{}, {"kubernetes.io/os": "linux"}],
    ("tolerations",): [[], [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]],
    ("affinity",): [{}, {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "shop"}}}]}}],
    ("topologySpreadConstraints",): [[], [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "shop"}}}]],
    ("priorityClassName",): ["", "important"],
}
# Values that are refused, and what is said of them.
REFUSED = [
    ({"certificate": {"source": "certManager", "issuer": {"name": ""}}}, "certificate.issuer.name is empty"),
    ({"certificate": {"source": "vault"}}, "must be one of 'helm', 'certManager', 'self'"),
    ({"webhook": {"timeoutSeconds": 60}}, "webhook/timeoutSeconds"),
    ({"webhook": {"port": 443}}, "webhook/port"),
    ({"replicas": 0}, "replicas"),
    ({"selection": "all"}, "must be one of 'optIn', 'optOut'"),
    ({"sidecar": {"image": "a b"}}, "sidecar/image"),
    ({"podLabels": {"portcullis/inject": "true"}}, "invalid propertyName 'portcullis/inject'"),
    ({"repliccas": 2}, "additional properties 'repliccas' not allowed"),
]


def render(values, name=NAME, namespace=NAMESPACE):
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name=name, namespace=namespace)
    texts = [files[path] for path in sorted(files) if path.endswith(".yaml")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def matches(selector, labels):
    """Whether labels are selected, as the API server decides it."""
    wanted = selector.get("matchLabels", {})
    tests = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    return wanted.items() <= labels.items() and all(tests[one["operator"]](one["key"], one.get("values", [])) for one in selector.get("matchExpressions", []))


def check_selection(values, hooks):
    """Each pod is asked about once or not at all: the pod's label goes before that of its namespace, and nothing is asked about what the
    webhook itself needs."""
    by_default = values.get("selection", "optIn") == "optOut"
    needs_it = by_default and values["certificate"].get("source") == "certManager" and values.get("webhook", {}).get("failurePolicy") == "Fail"
    for space in ("shop", "kube-system", "cert-manager", NAMESPACE):
        for of_space in (None, "true", "false", "nonsense"):
            for of_pod in (None, "true", "false"):
                labels = lambda word: {"portcullis/inject": word} if word else {}
                asked = sum(matches(hook["namespaceSelector"], {"kubernetes.io/metadata.name": space} | labels(of_space))
                            and matches(hook["objectSelector"], labels(of_pod)) for hook in hooks)
                wanted = of_pod == "true" or (of_pod is None and (of_space != "false" if by_default else of_space == "true"))
                excluded = space == NAMESPACE or space in values.get("excludedNamespaces", ["kube-system"]) or (space == "cert-manager" and needs_it)
                assert asked == (wanted and not excluded), f"asked {asked} times: {space}, namespace {of_space}, pod {of_pod}, {values.get('selection')}"


def check_sense(values, manifests, program):
    """What no schema knows: names that must fit one another, rights, and what a pod must not be allowed."""
    deployment, service = of_kind(manifests, "Deployment")["spec"], of_kind(manifests, "Service")
    pod, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for selector in (deployment["selector"]["matchLabels"], service["spec"]["selector"]):
        assert selector.items() <= labels.items()
    assert labels["portcullis/inject"] == "false", "it would be asked about itself"
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["webhook"] and set(ports) == {"webhook"}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports and container[probe]["httpGet"]["scheme"] == "HTTPS"
    own, shared = container["securityContext"], pod["securityContext"]
    assert shared["runAsNonRoot"] and shared["runAsUser"] > 0 and shared["seccompProfile"]["type"] == "RuntimeDefault"
    assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"] and own["capabilities"] == {"drop": ["ALL"]}
    assert pod["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"] + 10
    mounts, volumes = [mount["name"] for mount in container.get("volumeMounts", [])], [volume["name"] for volume in pod.get("volumes", [])]
    assert mounts == volumes
    configuration = of_kind(manifests, "MutatingWebhookConfiguration")
    hooks = configuration["webhooks"]
    check_selection(values, hooks)
    for hook in hooks:
        called = hook["clientConfig"]["service"]
        assert (called["name"], called["namespace"], called["path"]) == (service["metadata"]["name"], NAMESPACE, "/mutate")
        assert called["port"] in [port["port"] for port in service["spec"]["ports"]]
        assert hook["sideEffects"] == "None" and hook["admissionReviewVersions"] == ["v1"] and len(hook["name"].split(".")) >= 3
        assert [rule["operations"] for rule in hook["rules"]] == [["CREATE"]] and hook["reinvocationPolicy"] == "IfNeeded"
    source = values["certificate"].get("source", "helm")
    bundles = {hook["clientConfig"].get("caBundle") for hook in hooks}
    secrets = [one for one in manifests if one["kind"] == "Secret"]
    assert (source == "helm") == bool(secrets) and (bundles == {secrets[0]["data"]["ca.crt"]} if secrets else bundles == {None})
    host = f"{service['metadata']['name']}.{NAMESPACE}.svc"
    certificates = [one for one in manifests if one["kind"] == "Certificate"]
    assert (source == "certManager") == bool(certificates)
    if certificates:
        assert configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == f"{NAMESPACE}/{certificates[0]['metadata']['name']}"
        assert host in certificates[0]["spec"]["dnsNames"] and certificates[0]["spec"]["secretName"] == pod["volumes"][0]["secret"]["secretName"]
    rights = [rule for one in manifests if one["kind"] in ("Role", "ClusterRole") for rule in one["rules"]]
    assert pod["automountServiceAccountToken"] is bool(rights) and (source == "self") == bool(rights)
    if rights:
        assert rights == [{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"],
                           "resourceNames": [configuration["metadata"]["name"]], "verbs": ["get", "patch"]}]
        words = container["args"]
        assert f"--configuration={configuration['metadata']['name']}" in words and f"--service={host.removesuffix('.svc')}" in words
    # The program takes the arguments: it fails only for want of the certificate, or of a cluster.
    if str(container["args"]) not in TRIED:
        TRIED.add(str(container["args"]))
        arguments = [re.sub(r"^--listen=.*", "--listen=127.0.0.1:0", word) for word in container["args"]]
        tried = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, env={"HOME": "/nonexistent", "PATH": "/usr/bin"})
        expected = (1, "no way to the API server was found") if source == "self" else (78, "/run/secrets/portcullis/tls/")
        assert tried.returncode == expected[0] and expected[1] in tried.stderr, (arguments, tried)


TRIED = set()


def check_certificate(folder):
    """The certificate that Helm made is what the webhook's configuration trusts, by the name that API servers call."""
    manifests = render({})
    secret, configuration = of_kind(manifests, "Secret"), of_kind(manifests, "MutatingWebhookConfiguration")
    (folder / "ca.crt").write_bytes(base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"]))
    (folder / "tls.crt").write_bytes(base64.b64decode(secret["data"]["tls.crt"]))
    subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-verify_hostname", f"{NAME}.{NAMESPACE}.svc", "-CAfile", folder / "ca.crt", folder / "tls.crt"],
                   capture_output=True, check=True, timeout=30)


def check_upgrade():
    """What Helm made is kept for half of its days and for as long as it is for the names the webhook is called by, and is what API servers are
    told to trust, beside what they trusted before."""

    def beside(secret, values):
        with with_secret(secret) as config, helm_python.Chart.load(str(CHART)) as chart:
            files = config.render(chart, values, name=NAME, namespace="shop")
        manifests = [manifest for path, text in files.items() if path.endswith(".yaml") for manifest in yaml.safe_load_all(text) if manifest]
        found = of_kind(manifests, "Secret")
        bundles = {base64.b64decode(hook["clientConfig"]["caBundle"]) for hook in of_kind(manifests, "MutatingWebhookConfiguration")["webhooks"]}
        assert bundles == {b"".join(base64.b64decode(one) for one in authorities(found))}, "other authorities are trusted than signed"
        return found

    authorities = lambda secret: [secret["data"][key] for key in ("ca.crt", "previous-ca.crt") if key in secret["data"]]

    def aged(secret, days):
        """As it would be, had it been made so many days before."""
        made = str(int(secret["metadata"]["annotations"]["portcullis/made"]) - days * 86400)
        return merged(secret, {"metadata": {"annotations": {"portcullis/made": made}}})

    first = beside(None, {})
    assert beside(first, {}) == first, "the certificate changes with each upgrade"
    for secret, values, why in (
        (first, {"clusterDomain": "example.org"}, "for another name"),
        (first, {"certificate": {"days": 365}}, "for other days"),
        (aged(first, 1826), {}, "past half of its days"),
        (merged(first, {"metadata": {"annotations": {"portcullis/made": ""}}}), {}, "of an unknown age"),
    ):
        other = beside(secret, values)
        assert other["data"]["tls.crt"] != first["data"]["tls.crt"], f"the certificate is kept {why}"
        assert authorities(other) == [other["data"]["ca.crt"], first["data"]["ca.crt"]], "what pods show until they have the new one is not trusted"
        assert beside(other, values) == other, f"a certificate {why} changes with each upgrade"
        later = beside(aged(other, 2), values)
        assert later["data"] == {key: value for key, value in other["data"].items() if key != "previous-ca.crt"}, "the authority before is trusted for ever"
    assert beside(aged(first, 1824), {})["data"] == first["data"], "the certificate is not kept for half of its days"


def check_policy(program):
    """The policy is what the program writes, and what Kubernetes takes from 1.36 on."""
    kept = POLICY.read_text()
    words = re.match(r"# portcullis (inject --policy .*)\n", kept)[1].split()
    written = subprocess.run([program, *words], capture_output=True, text=True, check=True, timeout=30).stdout
    assert kept.split("\n", 1)[1] == written, f"{POLICY} is not what `portcullis {' '.join(words)}` writes; write it anew below its first line"
    kinds = []
    for manifest in yaml.safe_load_all(written):
        kinds.append(manifest["kind"])
        for version in ("1.36.0", "1.37.0"):
            kubernetes_validate.validate(manifest, version, strict=True)
    assert kinds == ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"]


def main():
    program, custom_file = sys.argv[1:]
    seen, count, start = {}, 0, time.monotonic()
    dimensions = dict(choices(json.loads((CHART / "values.schema.json").read_text()))) | STRUCTURE
    for chosen in combinations(dimensions):
        values = USUAL
        for path, value in chosen.items():
            values = merged(values, placed(path, value))
        try:
            manifests = render(values)
            for manifest in manifests:
                text = json.dumps(manifest, sort_keys=True)
                if text not in seen:
                    seen[text] = manifest
                    for version in VERSIONS if manifest["kind"] != "Certificate" else []:
                        kubernetes_validate.validate(manifest, version, strict=True)
            check_sense(values, manifests, program)
            found = helm_python.lint(str(CHART), values, strict=True, namespace=NAMESPACE)
            told = [message for message in found["messages"] if message["severity"] > 1] + found["errors"]
            assert not told, told
        except Exception:
            print("with these values:", {".".join(map(str, path)): value for path, value in chosen.items()}, file=sys.stderr)
            raise
        count += 1
    # Three values at a time: no pod of cert-manager could be made before it has made the webhook's certificate.
    values = merged(USUAL, {"selection": "optOut", "certificate": {"source": "certManager"}, "webhook": {"failurePolicy": "Fail"}})
    check_sense(values, render(values), program)
    for change, expected in REFUSED:
        try:
            render(merged(USUAL, change))
        except helm_python.HelmError as refused:
            assert expected in str(refused), f"{change} was refused with other words than {expected!r}:\n{refused}"
        else:
            raise AssertionError(f"{change} was taken; expected: {expected!r}")
    with tempfile.TemporaryDirectory() as temporary:
        check_certificate(pathlib.Path(temporary))
    check_upgrade()
    check_policy(program)
    custom = [manifest for manifest in seen.values() if manifest["kind"] == "Certificate"]
    pathlib.Path(custom_file).write_text(json.dumps(custom))
    print(f"injector: {count} releases with every pair of values rendered and linted, {len(seen)} manifests valid for Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}, "
          f"{len(TRIED)} sets of arguments taken by the program; {len(REFUSED)} refusals; the policy is as written; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
