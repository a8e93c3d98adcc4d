"""Reduces a bill of materials (first argument) to the crates that `cargo tree` lists on standard input, and writes it to the
second argument. Fails if the two differ, or if .ci/function-dependencies.txt differs from them."""

import json
import pathlib
import sys

source, target = map(pathlib.Path, sys.argv[1:])
root = pathlib.Path(__file__).resolve().parent.parent
# `name v1.2.3 (proc-macro)`
crates = {tuple(line.replace(" v", " ", 1).split(" ")[:2]) for line in sys.stdin.read().splitlines() if line}

bill = json.loads(source.read_text().replace(f"file://{root}", "file:///callgate"))
function = bill["metadata"]["component"]
bill["components"] = [it for it in bill["components"] if (it["name"], it["version"]) in crates]
kept = {it["bom-ref"] for it in [function, *bill["components"]]}
bill["dependencies"] = [
    {**it, "dependsOn": [ref for ref in it.get("dependsOn", []) if ref in kept]}
    for it in bill["dependencies"]
    if it["ref"] in kept
]

found = {(it["name"], it["version"]) for it in [function, *bill["components"]]}
listed = set((root / ".ci/function-dependencies.txt").read_text().split())
assert found == crates, f"the bill of materials differs: {sorted(found ^ crates)}"
assert {name for name, _ in found} == listed, f"function-dependencies.txt: {sorted({it for it, _ in found} ^ listed)}"
assert all(it.get("licenses") for it in bill["components"]), "a crate has no licence"
assert str(root) not in json.dumps(bill), "the bill of materials has a folder of this machine"
target.write_text(json.dumps(bill, indent=2) + "\n")
print(f"{target.name}: {len(found)} crates")
