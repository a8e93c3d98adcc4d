#!/usr/bin/env bash
# What the project is made of: licences, sources and duplicates of its dependencies, no `unsafe` of its own, and the
# function's bill of materials. Vulnerabilities are looked for weekly, in .github/workflows/advisories.yml: that needs a
# list from the network.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-deny > /dev/null || cargo install cargo-deny --locked --version 0.20.2
cargo deny --locked --workspace check --hide-inclusion-graph licenses bans sources

# Members of the workspace take its lints; what stands outside has to say it for itself.
grep -qx 'unsafe_code = "forbid"' Cargo.toml
git ls-files '*Cargo.toml' | while read -r manifest; do
    case $manifest in
        fuzz/* | crates/bench/peers/*) grep -qx 'unsafe_code = "forbid"' "$manifest" ;;
        *) grep -A1 -x '\[lints\]' "$manifest" | grep -qx 'workspace = true' ;;
    esac || { echo "$manifest does not forbid unsafe code"; exit 1; }
done

.ci/bill-of-materials.sh
