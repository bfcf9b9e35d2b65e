"""The chart as the real Helm engine renders it, its values in every combination of two, and the committed Kustomize base."""

import itertools
import json
import pathlib

import helm_python
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/portcullis-gateway"
KUSTOMIZE = ROOT / "deploy/kustomize"
NAME, NAMESPACE = "shop-gateway", "shop"

# What makes a gateway: names that resolve anywhere, and no key that only decides how something is rendered.
USUAL = {
    "config": {"services": [{"name": "shop", "stable": {"version": "1.4.0", "endpoints": ["localhost:8081"]}}]},
    "admin": {
        "tls": {"secretName": "shop-tls", "issuer": {"name": "ours"}},
        "tokens": [
            {"name": "prometheus", "role": "viewer", "secretName": "shop-gateway-tokens", "secretKey": "viewer"},
            {"name": "ann", "role": "operator", "secretName": "shop-gateway-tokens", "secretKey": "ann"},
        ],
    },
    "state": {"claimName": "shop-state"},
    "versions": [{"name": "shop-stable", "port": 8080, "selector": {"app": "shop"}}],
    "httpRoutes": [],
}
# Values without an enumeration that change what is rendered, beside those that the schema enumerates.
STRUCTURE = {
    ("replicas",): [1, 3],
    ("image", "digest"): ["", "sha256:" + "0" * 64],
    ("image", "pullSecrets"): [[], ["registry"]],
    ("traffic", "tls", "secretName"): ["", "shop-cert"],
    ("traffic", "address"): ["0.0.0.0", "::"],
    ("service", "name"): ["", "shop"],
    ("service", "annotations"): [{}, {"example.com/internal": "true"}],
    ("state", "storageClassName"): ["", "fast"],
    ("networkPolicy", "trafficFrom"): [[], [{"ipBlock": {"cidr": "10.0.0.0/8"}}]],
    ("networkPolicy", "adminFrom"): [[], [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]],
    ("networkPolicy", "egressTo"): [[], [{"to": [{"podSelector": {"matchLabels": {"app": "shop"}}}]}]],
    ("monitoring", "labels"): [{}, {"release": "prometheus"}],
    ("discovery", "namespaces"): [[], ["shop"]],
    ("httpRoutes",): [[], [{"name": "shop"}, {"name": "shop.example", "namespace": "edge"}, {"name": "shop-example", "namespace": "edge"}]],
    ("delivery", "namespaces"): [[], ["sockshop-dev", "sockshop-production"]],
    ("files",): [{}, {"perfspec.json": '{"spec_version": "1.0"}\n'}],
    ("secrets",): [[], ["signing-keys"]],
    ("podLabels",): [{}, {"team": "shop"}],
    ("podAnnotations",): [{}, {"example.com/note": "yes"}],
    ("nodeSelector",): [{}, {"kubernetes.io/os": "linux"}],
    ("tolerations",): [[], [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]],
    ("affinity",): [{}, {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "shop"}}}]}}],
    ("topologySpreadConstraints",): [[], [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "shop"}}}]],
    ("priorityClassName",): ["", "important"],
    ("config", "timeouts"): [{}, {"connect": "2s"}],
}


def merged(below, above):
    """Lays one tree of values over another; lists are replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {key: merged(below[key], above[key]) if key in below and key in above else above.get(key, below.get(key)) for key in below | above}


def placed(path, value):
    """A tree with one value at a path; a number is a place in a list of the usual values."""
    tree = value
    for at, key in reversed(list(enumerate(path))):
        if isinstance(key, int):
            items = list(looked_up(USUAL, path[:at]))
            items[key] = merged(items[key], tree)
            tree = items
        else:
            tree = {key: tree}
    return tree


def looked_up(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def choices(schema, path=()):
    """Every place of the schema whose value is one of a few, with those values."""
    if "enum" in schema:
        yield path, schema["enum"]
    elif schema.get("type") == "boolean":
        yield path, [True, False]
    for key, below in schema.get("properties", {}).items():
        yield from choices(below, (*path, key))
    items = schema.get("items", {})
    if "properties" in items:
        # Of a list the last of the usual ones is varied, so that a viewer stays for what scrapes.
        yield from choices(items, (*path, len(looked_up(USUAL, path)) - 1))


def is_possible(chosen):
    """Whether the chart takes these values together; each refusal has a test of its own."""
    return chosen.get(("replicas",), 1) == 1 or (chosen.get(("state", "kind"), "emptyDir") == "emptyDir" and not chosen.get(("httpRoutes",)))


def pairs(chosen):
    return {frozenset(pair) for pair in itertools.combinations(((path, json.dumps(value)) for path, value in chosen.items()), 2)}


def combinations(dimensions):
    """Yields choices until every possible pair of values has stood together once; always the same ones."""
    flat = [(path, value) for path, values in dimensions.items() for value in values]
    open_pairs = set()
    for (path, value), (other, second) in itertools.combinations(flat, 2):
        if path != other and is_possible({path: value, other: second}):
            open_pairs |= pairs({path: value, other: second})
    while open_pairs:
        # Begins with a pair that is still open, and takes of each other value the one that closes the most.
        first = min(open_pairs, key=lambda pair: sorted(map(str, pair)))
        chosen = {path: json.loads(value) for path, value in first}
        for path, values in dimensions.items():
            if path not in chosen:
                fitting = [value for value in values if is_possible(chosen | {path: value})]
                gain = lambda value: sum(frozenset(((path, json.dumps(value)), (other, json.dumps(taken)))) in open_pairs for other, taken in chosen.items())
                chosen[path] = max(fitting, key=gain)
        open_pairs -= pairs(chosen)
        yield chosen


def every_pair():
    """The values of the fewest releases that show every enumerated value beside every other one."""
    dimensions = dict(choices(json.loads((CHART / "values.schema.json").read_text()))) | STRUCTURE
    for chosen in combinations(dimensions):
        values = USUAL
        for path, value in chosen.items():
            values = merged(values, placed(path, value)) if not any(isinstance(key, int) for key in path) else replaced(values, path, value)
        yield chosen, values


def replaced(values, path, value):
    """The values with one of them replaced, at a path that goes through a list."""
    copy = json.loads(json.dumps(values))
    looked_up(copy, path[:-1])[path[-1]] = value
    return copy


class Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that people can read a configuration in a manifest."""


Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def render(values, name=NAME, namespace=NAMESPACE):
    """The manifests of a release, in the order of their files."""
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name=name, namespace=namespace)
    texts = [files[path] for path in sorted(files) if path.endswith(".yaml")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def of_kind(manifests, kind, name=None):
    found = [one for one in manifests if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def base():
    """The Kustomize base as it follows from the chart: file names and texts."""
    values = yaml.safe_load((KUSTOMIZE / "values.yaml").read_text())
    manifests = render(values, name="portcullis", namespace="portcullis")
    texts = {}
    for manifest in manifests:
        # A base has no namespace and nothing that says Helm had installed it.
        del manifest["metadata"]["namespace"]
        labels, annotations = manifest["metadata"]["labels"], manifest["metadata"].pop("annotations", {})
        del labels["helm.sh/chart"]
        labels["app.kubernetes.io/managed-by"] = "kustomize"
        if kept := {key: value for key, value in annotations.items() if not key.startswith("helm.sh/")}:
            manifest["metadata"]["annotations"] = kept
        file = f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"
        texts[file] = yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=1000)
    listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(texts)}
    texts["kustomization.yaml"] = yaml.safe_dump(listed, sort_keys=False)
    head = "# Rendered from deploy/helm/portcullis-gateway with deploy/kustomize/values.yaml by tests/deploy/run --render; change those.\n"
    return {file: head + text for file, text in texts.items()}


def write_base():
    folder = KUSTOMIZE / "base"
    folder.mkdir(exist_ok=True)
    texts = base()
    for file in folder.iterdir():
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text)
