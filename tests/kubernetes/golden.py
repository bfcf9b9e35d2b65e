"""Runs `portcullis inject` on each file of pods/ and compares with expected/; checks patches, schemas and that twice is once."""

import copy
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonpatch
import kubernetes_validate
import yaml

PROGRAM, HERE = sys.argv[1], Path(sys.argv[2])
WRITE = "--write" in sys.argv[3:]
# The four newest releases whose schemas there are.
RELEASES = sorted({tuple(map(int, v.split(".")[:2])) for v in kubernetes_validate.utils.all_versions()})[-4:]
# The release of this program stands in the golden files as 0.0.0, so that they outlive it.
RELEASE = re.compile(r'(portcullis:|\\?"version\\?":\\?")' + re.escape(subprocess.run([PROGRAM, "--version"], check=True, capture_output=True,
    text=True).stdout.split()[1]))


class Words(yaml.SafeLoader):
    """Booleans as Kubernetes reads them: y and n too."""


Words.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:y|Y|n|N)$"), list("yYnN"))
problems = []


def inject(arguments, text):
    done = subprocess.run([PROGRAM, "inject", *arguments], input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def objects(text):
    return [yaml.load(text, Words)] if text.startswith("{") else list(yaml.load_all(text, Words))


def check(name, holds, words):
    if not holds:
        problems.append(f"{name}: {words}")


def golden(path, text):
    text = RELEASE.sub(r"\g<1>0.0.0", text)
    text = re.sub(r'(\\?"hash\\?":\\?")[0-9a-f]{16}', r"\g<1>0123456789abcdef", text)
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        if text:
            path.write_text(text)
        else:
            path.unlink(missing_ok=True)
    kept = path.read_text() if path.exists() else ""
    check(path.name, kept == text, f"is not what is kept; look at it with tests/kubernetes/run --write and git diff\n{text}")


def pods(value):
    """Yields what holds pods, each object of a list for itself."""
    kind = value.get("kind", "") if isinstance(value, dict) else ""
    for item in value["items"] if kind.endswith("List") else [value] if kind else []:
        whole = dict(item)
        if kind != "List" and kind.endswith("List"):
            whole = {"apiVersion": value["apiVersion"], "kind": kind.removesuffix("List"), **item}
        yield whole


def schemas(name, value):
    for whole in pods(value):
        if whole["kind"] == "CustomResourceDefinition":
            continue
        whole = copy.deepcopy(whole)
        # The schemas know names alone; the API server makes one of generateName.
        whole.setdefault("metadata", {}).setdefault("name", whole["metadata"].get("generateName", "made") + "0")
        for release in RELEASES:
            try:
                kubernetes_validate.validate(whole, ".".join(map(str, release)), strict=True)
            except kubernetes_validate.ValidationError as error:
                check(name, False, f"{release}: {whole['kind']} {'/'.join(map(str, error.path))}: {error.message[:300]}")


def names_once(name, value):
    """What the schemas do not say: names of containers, of volumes, and of what is mounted."""
    if isinstance(value, list):
        for item in value:
            names_once(name, item)
    if not isinstance(value, dict):
        return
    for item in value.values():
        names_once(name, item)
    if "containers" in value:
        containers = [*(value.get("initContainers") or []), *value["containers"], *(value.get("ephemeralContainers") or [])]
        for what, among in (("containers", containers), ("volumes", value.get("volumes") or [])):
            found = [one["name"] for one in among]
            check(name, len(found) == len(set(found)), f"two {what} have one name: {found}")
        volumes = {volume["name"] for volume in value.get("volumes") or []}
        ours = [one for one in containers if one["name"].startswith("portcullis")]
        for mount in (mount for one in ours for mount in one.get("volumeMounts", [])):
            check(name, mount["name"] in volumes, f"{mount['name']} is mounted and not there")


inputs = sorted(path for path in (HERE / "pods").iterdir())
injected = 0
for path in inputs:
    name, text = path.name, path.read_text()
    first = re.match(r"# inject: (.*)\n", text)
    arguments = shlex.split(first[1]) if first else []
    code, out, said = inject(arguments, text)
    golden(HERE / "expected" / name, out)
    golden(HERE / "expected" / f"{path.stem}.txt", said + (f"exit code {code}\n" if code else ""))
    check(name, "panicked" not in said, said)
    if code:
        check(name, code == 78 and not out and said.startswith("error: "), f"ended with {code}")
        continue
    before, after = objects(text), objects(out)
    code, patches, _ = inject([*arguments, "--patch"], text)
    check(name, code == 0, "no patch")
    patched = copy.deepcopy(before)
    for line in map(json.loads, patches.splitlines()):
        at = line["document"] - 1
        patched[at] = jsonpatch.JsonPatch(line["patch"]).apply(patched[at])
        injected += 1
    check(name, patched == after, "the patch makes something else")
    changed = [index for index, (old, new) in enumerate(zip(before, after)) if old != new]
    check(name, len(patches.splitlines()) == len(changed), "patches are not those of what was changed")
    code, twice, _ = inject(arguments, out)
    check(name, code == 0 and twice == out, "injecting twice is not injecting once")
    for value in after:
        if value is not None:
            schemas(name, value)
            names_once(name, value)
    if not changed:
        check(name, out == text, "what was not changed is written otherwise")

# The check itself: a pod with a wrong field, and one with a field of the wrong kind, are found by the schemas.
held, problems = problems, []
for wrong in ({"restartPolcy": "Always"}, {"restartPolicy": 5}):
    schemas("wrong", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}], **wrong}})
found, problems = len(problems), held
check("schemas", found == 2 * len(RELEASES), f"found {found} of {2 * len(RELEASES)} mistakes")
print(f"{len(inputs)} files, {injected} documents with a sidecar, Kubernetes {', '.join('.'.join(map(str, r)) for r in RELEASES)}")
if problems:
    sys.exit("\n".join(["tests/kubernetes/golden.py:", *problems]))
