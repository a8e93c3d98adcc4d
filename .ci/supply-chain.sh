#!/usr/bin/env bash
# Checks what the project is made of: licences, sources and duplicates of its dependencies, no `unsafe` of its own, and the
# function's bill of materials and licence texts. Vulnerabilities need a list from the network: .github/workflows/advisories.yml.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

cargo_tool cargo-deny 0.20.2
cargo deny --locked --workspace check --hide-inclusion-graph licenses bans sources

# The lints of the workspace apply to its members only.
grep -qx 'unsafe_code = "forbid"' Cargo.toml
git ls-files '*Cargo.toml' | while read -r manifest; do
    case $manifest in
        fuzz/* | crates/bench/peers/*) grep -qx 'unsafe_code = "forbid"' "$manifest" ;;
        *) grep -A1 -x '\[lints\]' "$manifest" | grep -qx 'workspace = true' ;;
    esac || { echo "$manifest does not forbid unsafe code"; exit 1; }
done

.ci/bill-of-materials.sh
python3 .ci/licences.py target/package/THIRD-PARTY-LICENSES.txt
