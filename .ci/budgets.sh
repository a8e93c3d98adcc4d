#!/usr/bin/env bash
# Limits the instructions of a warm call of the built function, which do not depend on what else the machine does.
#
#   .ci/budgets.sh BINARY     .ci/package.sh limits its size
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

debian_package valgrind valgrind
# All targets, as the tests have built them.
cargo build --quiet --locked --workspace --all-targets
# 816,000 when this was written: a new layer would exceed the limit, a new patch release would not.
"${CARGO_TARGET_DIR:-target}/debug/callgate-bench" instructions --program "callgate=$1" --at-most 900000
