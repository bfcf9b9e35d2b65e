"""Holds the bill of materials to the schema of CycloneDX, and to what is in the lock file and the program.

Argument: the bill.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    text = pathlib.Path(sys.argv[1]).read_text()
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert wrong is None, wrong
    bill = json.loads(text)
    listed = [one for one in bill["components"] if one["purl"].startswith("pkg:cargo/")]
    crates = {(one["name"], one["version"]): one for one in listed}
    assert len(crates) == len(listed)
    names = {name for name, _ in crates}
    locked = {(one["name"], one["version"]): one.get("checksum") for one in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    for one in bill["components"]:
        assert one["licenses"] and one["hashes"], one
    for key, one in crates.items():
        assert one["hashes"] == [{"alg": "SHA-256", "content": locked[key]}], one
    # All that Cargo.toml asks for is there, what only tests use is not, and what runs in the compiler is no part of the program.
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    lacking = manifest["dependencies"].keys() - names
    assert not lacking, lacking
    alone = manifest["dev-dependencies"].keys() - manifest["dependencies"].keys()
    assert "criterion" in alone and not {"criterion", "proptest"} & names
    parts = {(line.split()[0], line.split()[1].removeprefix("v")) for line in subprocess.run(
        ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"], cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()}
    own = {(bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"])}
    assert parts - own == {key for key, one in crates.items() if one["scope"] == "required"}
    assert {one["scope"] for one in listed if one["name"] == "serde_derive"} == {"excluded"}
    refs = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert refs == {one["ref"] for one in bill["dependencies"]} | {one["bom-ref"] for one in bill["components"] if one["purl"].startswith("pkg:npm/")}
    assert all(ref in refs for one in bill["dependencies"] for ref in one["dependsOn"])
    assert {"preact", "uplot"} <= {one["name"] for one in bill["components"]}
    print(f"bill of materials: CycloneDX 1.6, {len(parts - own)} crates in the program, {len(crates.keys() - parts)} that help to build it")


if __name__ == "__main__":
    main()
