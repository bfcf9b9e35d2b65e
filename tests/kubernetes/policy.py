"""Evaluates the MutatingAdmissionPolicy that `portcullis inject --policy` writes, by an independent CEL, on every odd pod: what it makes of
a pod is what `portcullis inject` makes of it, and where one leaves a pod alone the other does.

CEL here knows no types of Kubernetes, so that their objects (`Object.spec…{name: …}`) are read as maps; that an API server takes the types
is not seen here. Evaluates also the conditions on which the injector's chart has the webhook asked. Arguments: the program, and the folder with pods/.
"""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import celpy
import celpy.adapter
import jsonpatch
import kubernetes_validate
import yaml

PROGRAM, HERE = sys.argv[1], Path(sys.argv[2])
FLAGS = ["--image", "registry.example.com/portcullis:1", "--config-map", "portcullis"]
# What the policy passes over, because it has no words for it.
WISHES = re.compile(r"^config\.portcullis/")


def untyped(expression):
    """Reads objects with types as maps: quotes their fields, but for what stands in a text."""
    parts, typed = [], []
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|(?:Object[.\w]*|JSONPatch)\{|[{}]|\w+:|.', expression, re.S):
        text = token[0]
        if text.endswith("{") and text[0] not in "\"'":
            typed.append(len(text) > 1)
            text = "{"
        elif text == "}":
            typed.pop()
        elif re.fullmatch(r"\w+:", text) and typed and typed[-1]:
            text = f'"{text[:-1]}":'
        parts.append(text)
    return "".join(parts)


class Policy:
    def __init__(self, manifest):
        environment = celpy.Environment()
        program = lambda text: environment.program(environment.compile(text))
        self.conditions = {one["name"]: program(one["expression"]) for one in manifest["spec"]["matchConditions"]}
        [mutation] = manifest["spec"]["mutations"]
        self.expression = program(untyped(mutation["jsonPatch"]["expression"]))

    def apply(self, pod):
        """The pod as the API server makes it, or the names of the conditions that do not hold."""
        given = {"object": celpy.json_to_cel(pod)}
        against = [name for name, condition in self.conditions.items() if not condition.evaluate(given)]
        if against:
            return None, against
        operations = json.loads(json.dumps(self.expression.evaluate(given), cls=celpy.adapter.CELJSONEncoder))
        return jsonpatch.JsonPatch(operations).apply(copy.deepcopy(pod)), []


def written(pod):
    """The pod as an API server sees it: what is empty or nothing is not there, lists and mappings included."""
    if isinstance(pod, dict):
        return {key: written(value) for key, value in pod.items() if value not in (None, [], {})}
    return [written(value) for value in pod] if isinstance(pod, list) else pod


def is_pod(pod):
    """Whether an API server would read it at all; it asks policies after that."""
    try:
        kubernetes_validate.validate({**pod, "metadata": {"name": "made", **pod["metadata"]}}, "1.37")
    except kubernetes_validate.ValidationError:
        return False
    return True


def in_the_way():
    """Pods that the command refuses, because something has a name or a port of the sidecar's."""
    app = {"name": "app", "image": "a"}
    listens = {**app, "ports": [{"containerPort": 4143}]}
    yield "volume", {"containers": [app], "volumes": [{"name": "portcullis-state", "emptyDir": {}}]}
    yield "port", {"containers": [listens]}
    yield "port of a sidecar", {"containers": [app], "initContainers": [{**listens, "name": "mesh", "restartPolicy": "Always"}]}
    options = {"securityContext": {"windowsOptions": {"runAsUserName": "a"}}}
    yield "options of Windows", {"containers": [app], "initContainers": [{**app, **options, "name": "setup"}]}
    yield "named system", {"containers": [app], "os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "windows"}}
    # One that ends before is in nobody's way.
    yield "port of one that ends", {"containers": [app], "initContainers": [{**listens, "name": "setup"}]}


def pods():
    for name, spec in in_the_way():
        yield name, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}
    for kind in ("labels", "annotations"):
        for key in ("portcullis/injekt", "portcullis/inject", "portcullis/version", "portcullis/service", "config.portcullis/mode", "linkerd.io/inject"):
            yield f"{kind} {key}", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", kind: {key: "true"}},
                                    "spec": {"containers": [{"name": "app", "image": "a"}]}}
    for path in sorted((HERE / "pods").iterdir()):
        try:
            objects = list(yaml.safe_load_all(path.read_text()))
        except yaml.YAMLError:
            continue
        for value in objects:
            for item in [value, *(value.get("items") or [])] if isinstance(value, dict) else []:
                spec = item.get("spec") if isinstance(item, dict) else None
                template = spec.get("template", item) if isinstance(spec, dict) else None
                if isinstance(template, dict) and isinstance(template.get("spec"), dict) and template["spec"].get("containers"):
                    yield path.name, json.loads(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata") or {},
                                                            "spec": template["spec"]}, default=str))


def check_conditions():
    """By the conditions of the injector's chart the webhook is not asked about what has the sidecar, but about what only looks like it."""
    environment = celpy.Environment()
    chart = (HERE.parent.parent / "deploy/helm/portcullis-injector/templates/webhook.yaml").read_text()
    block = re.search(r"^    matchConditions:\n(?:      .*\n)+", chart, re.M)[0]
    conditions = [environment.program(environment.compile(one["expression"])) for one in yaml.safe_load(block)["matchConditions"]]
    app, ours = {"name": "app"}, {"name": "portcullis"}
    status, mirror = {"portcullis/status": "{}"}, {"kubernetes.io/config.mirror": "x"}
    for annotations, spec, wanted in (
        (None, {"containers": [app]}, True),
        ({}, {"containers": [app], "initContainers": [app]}, True),
        (status, {"containers": [app]}, True),
        (status, {"containers": [app], "initContainers": [app]}, True),
        (status, {"containers": [app, ours]}, False),
        (status, {"containers": [app], "initContainers": [app, ours]}, False),
        (None, {"containers": [app, ours]}, True),
        ({"a": "b"}, {"containers": [app], "initContainers": [ours]}, True),
        (mirror, {"containers": [app]}, False),
    ):
        pod = {"metadata": {"name": "a"} | ({} if annotations is None else {"annotations": annotations}), "spec": spec}
        asked = all(condition.evaluate({"object": celpy.json_to_cel(pod)}) for condition in conditions)
        assert asked == wanted, f"the webhook is {'' if asked else 'not '}asked about {pod}"


def main():
    check_conditions()
    text = subprocess.run([PROGRAM, "inject", "--policy", *FLAGS], capture_output=True, text=True, check=True, timeout=30).stdout
    policy = Policy(next(yaml.safe_load_all(text)))
    put_in, passed, problems = 0, {}, []
    for name, pod in pods():
        pod = {"metadata": {}, **written(pod)}
        if not is_pod(pod):
            continue
        after, against = policy.apply(pod)
        done = subprocess.run([PROGRAM, "inject", *FLAGS], input=json.dumps(pod), capture_output=True, text=True, timeout=30)
        by_command = json.loads(done.stdout) if done.returncode == 0 else None
        for condition in against:
            passed[condition] = passed.get(condition, 0) + 1
        wishes = any(map(WISHES.match, pod["metadata"].get("annotations", {})))
        if after is None:
            if not wishes and by_command not in (None, pod):
                problems.append(f"{name}: passed over by {against}, and the command puts in")
        elif by_command is None or after != by_command:
            problems.append(f"{name}: the policy makes\n{json.dumps(after)}\nand the command\n{json.dumps(by_command) or done.stderr}")
        else:
            put_in += 1
            again = policy.apply(after)[1]
            if "has-no-sidecar" not in again:
                problems.append(f"{name}: put in twice")
    unheard = policy.conditions.keys() - passed.keys()
    if unheard:
        problems.append(f"no pod is passed over by {sorted(unheard)}")
    print(f"the policy puts the sidecar into {put_in} odd pods as the command does, and passes over others: {passed}")
    if problems or put_in < 10:
        sys.exit("\n".join(["tests/kubernetes/policy.py:", *problems]))


if __name__ == "__main__":
    main()
