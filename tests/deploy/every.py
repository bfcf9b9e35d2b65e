"""Renders, lints and validates both charts with every combination of the values that their schemas enumerate; `tests/deploy/run` takes
every pair of them, and of others. Takes about eight minutes on two cores.

Arguments: the program, and no others.
"""

import itertools
import json
import multiprocessing
import sys
import time

import helm_python
import kubernetes_validate

PROGRAM = sys.argv[1]
# Those of the charts' own checks.
sys.argv[2:] = ["unused"]

import charts
import injector
from rendered import USUAL, choices, combinations, is_possible, merged, placed, replaced

CHARTS = {"portcullis-injector": injector, "portcullis-gateway": charts}
SEEN = {}


def dimensions(name):
    return dict(choices(json.loads((CHARTS[name].CHART / "values.schema.json").read_text())))


def releases(name):
    """Every combination of the enumerated values, each beside other values of switches."""
    every = dimensions(name)
    enumerated = {path: values for path, values in every.items() if values != [True, False]}
    switches = list(combinations({path: values for path, values in every.items() if path not in enumerated}))
    for number, chosen in enumerate(itertools.product(*enumerated.values())):
        yield name, switches[number % len(switches)] | dict(zip(enumerated, chosen))


def valued(usual, chosen):
    values = usual
    for path, value in chosen.items():
        is_listed = any(isinstance(key, int) for key in path)
        values = replaced(values, path, value) if is_listed else merged(values, placed(path, value))
    return values


def tried(release):
    """What is wrong with a release; nothing where nothing is."""
    name, chosen = release
    try:
        if name == "portcullis-gateway":
            assert is_possible(chosen)
            values = valued(USUAL, chosen)
            manifests = charts.render(values)
            charts.check_schemas(manifests, SEEN)
            charts.check_sense(manifests)
            charts.lint(values)
        else:
            values = valued(injector.USUAL, chosen)
            manifests = injector.render(values)
            for manifest in manifests:
                text = json.dumps(manifest, sort_keys=True)
                for version in injector.VERSIONS if manifest["kind"] != "Certificate" and text not in SEEN else []:
                    kubernetes_validate.validate(manifest, version, strict=True)
                SEEN[text] = manifest
            injector.check_sense(values, manifests, PROGRAM)
            found = helm_python.lint(str(injector.CHART), values, strict=True, namespace=injector.NAMESPACE)
            told = [message for message in found["messages"] if message["severity"] > 1] + found["errors"]
            assert not told, told
    except Exception as error:
        return f"{name} with {({'.'.join(map(str, path)): value for path, value in chosen.items()})}: {type(error).__name__}: {error}"[:2000]
    return None


def main():
    start = time.monotonic()
    for name in CHARTS:
        every = list(releases(name))
        # Helm's engine does not survive a fork.
        with multiprocessing.get_context("spawn").Pool() as pool:
            wrong = [told for told in pool.imap_unordered(tried, every, chunksize=8) if told]
        if wrong:
            sys.exit("\n".join([f"{len(wrong)} of {len(every)}:", *wrong[:5]]))
        print(f"{name}: {len(every)} releases, every combination of the enumerated values, rendered, linted and valid for Kubernetes "
              f"{charts.VERSIONS[0]} to {charts.VERSIONS[-1]}; {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
