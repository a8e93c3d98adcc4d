"""Leaves in a bill of materials (first argument) what standard input says the function is made of, as `cargo tree` writes it,
and writes it to the second argument. Fails where the two, or .ci/function-dependencies.txt, disagree."""

import json
import pathlib
import sys

source, target = map(pathlib.Path, sys.argv[1:])
root = pathlib.Path(__file__).resolve().parent.parent
# `name v1.2.3 (proc-macro)`
made_of = {tuple(line.replace(" v", " ", 1).split(" ")[:2]) for line in sys.stdin.read().splitlines() if line}

# Where it was built is nobody's business.
bill = json.loads(source.read_text().replace(f"file://{root}", "file:///callgate"))
function = bill["metadata"]["component"]
bill["components"] = [it for it in bill["components"] if (it["name"], it["version"]) in made_of]
kept = {it["bom-ref"] for it in [function, *bill["components"]]}
bill["dependencies"] = [
    {**it, "dependsOn": [ref for ref in it.get("dependsOn", []) if ref in kept]}
    for it in bill["dependencies"]
    if it["ref"] in kept
]

named = {(it["name"], it["version"]) for it in [function, *bill["components"]]}
listed = set((root / ".ci/function-dependencies.txt").read_text().split())
if named != made_of or {name for name, _ in named} != listed:
    sys.exit(f"the bill of materials differs: {sorted(named ^ made_of)}, {sorted({name for name, _ in named} ^ listed)}")
without = [it["name"] for it in bill["components"] if not it.get("licenses")]
if without:
    sys.exit(f"without a licence: {without}")
if str(root) in json.dumps(bill):
    sys.exit("the bill of materials names a directory of this machine")

target.write_text(json.dumps(bill, indent=2) + "\n")
print(f"{target.name}: {len(named)} crates, with the function's own")
