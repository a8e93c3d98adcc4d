#!/usr/bin/env bash
# Writes the function's bill of materials (CycloneDX), and checks that it names exactly the crates the function is made of.
#
#   .ci/bill-of-materials.sh [FILE [TARGET]]     by default target/package/callgate.cdx.json, for arm64
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath --canonicalize-missing "${1:-target/package/callgate.cdx.json}")
target=${2:-aarch64-unknown-linux-gnu}
mkdir -p "$(dirname "$out")"

command -v cargo-cyclonedx > /dev/null || cargo install cargo-cyclonedx --locked --version 0.5.9

# It writes a file beside every manifest of the workspace.
trap 'find . -name callgate-bom.json -not -path "./target/*" -delete' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename callgate-bom

# It knows the workspace, whose tools ask more of the same crates than the function does; cargo knows the function.
cargo tree --locked --package callgate --edges normal --prefix none --format '{p}' --target "$target" |
    python3 .ci/bill-of-materials.py callgate-bom.json "$out"
