#!/usr/bin/env bash
# Holds a warm call of the built function to a number of instructions, which a busy machine does not change.
# Takes the function's binary. Its size, its zip and what it is made of are held in .ci/package.sh and .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."

# 776,000 were counted when this was written; a new layer on the path would be seen, a new patch release would not.
most=850000

if ! command -v valgrind > /dev/null; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get install --yes --no-install-recommends valgrind
fi
# All targets, which the tests have built already.
cargo build --quiet --locked --workspace --all-targets
target/debug/callgate-bench instructions --program "callgate=$1" --at-most "$most"
