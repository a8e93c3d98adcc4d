#!/usr/bin/env bash
# Changes the decision and the authentication in every way that cargo-mutants has, one at a time, and runs their tests.
# Fails if a change that is not in .ci/mutants.txt passes the tests. Takes about an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

cargo_tool cargo-mutants 27.1.0
out=target/mutants
mkdir -p "$out/core" "$out/authentication"
# A tenth of the usual cases: a mutant is wrong more often than once in thousands.
export CALLGATE_ORACLE_CASES=2000 PROPTEST_CASES=25

# survivors NAME OPTION...
survivors() {
    local results=$out/$1/mutants.out
    # Its exit code is not 0 if there are any.
    cargo mutants --no-shuffle --output "$out/$1" "${@:2}" || true
    [ -s "$results/caught.txt" ]
    cat "$results/missed.txt" "$results/timeout.txt"
}
{
    survivors core --package callgate-core
    survivors authentication --file src/authentication.rs --profile test -- --lib --test it authentication
} | tee /dev/stderr | grep -E '^[a-z/]+\.rs:' | sed 's/:[0-9]*:[0-9]*:/:/' | sort | diff .ci/mutants.txt -
