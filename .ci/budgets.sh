#!/usr/bin/env bash
# Holds a warm call of the built function to a number of instructions, which a busy machine does not change.
# Takes the function's binary. Its size, its zip and what it is made of are held in .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."

# 762,000 were counted when this was written; a new layer on the path would be seen, a new patch release would not.
most=850000

command -v valgrind > /dev/null || apt-get install --yes --no-install-recommends valgrind
cargo run --quiet --locked --package callgate-bench -- instructions --program "callgate=$1" --at-most "$most"
