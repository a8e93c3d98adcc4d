#!/usr/bin/env bash
# Writes the function's bill of materials (CycloneDX), and checks that it has exactly the crates of the function.
#
#   .ci/bill-of-materials.sh [FILE [TARGET]]     by default target/package/callgate.cdx.json, for arm64
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

out=$(realpath --canonicalize-missing "${1:-target/package/callgate.cdx.json}")
target=${2:-aarch64-unknown-linux-gnu}
mkdir -p "$(dirname "$out")"
cargo_tool cargo-cyclonedx 0.5.9

# It writes a file beside every manifest, with what the whole workspace uses; `cargo tree` lists what the function uses.
trap 'find . -name callgate-bom.json -not -path "./target/*" -delete' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename callgate-bom
cargo tree --locked --package callgate --edges normal --prefix none --format '{p}' --target "$target" |
    python3 .ci/bill-of-materials.py callgate-bom.json "$out"
