#!/usr/bin/env bash
# Changes the decision and the authentication in every way cargo-mutants knows, one at a time, and runs their tests: a change
# no test notices is a sentence no test holds. Takes about an hour on two cores. docs/reliability.md explains those that
# nobody can notice; any other fails.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-mutants > /dev/null || cargo install cargo-mutants --locked --version 27.1.0

out=target/mutants
mkdir -p "$out/core" "$out/authentication"
# A tenth of the cases of a run of the tests: a mutant is wrong more often than once in thousands.
export CALLGATE_ORACLE_CASES=2000 PROPTEST_CASES=25

survived() {
    local name=$1
    shift
    # Its exit code says no more than that there were some.
    cargo mutants --no-shuffle --output "$out/$name" "$@" || true
    [ -s "$out/$name/mutants.out/caught.txt" ]
    cat "$out/$name/mutants.out/missed.txt" "$out/$name/mutants.out/timeout.txt"
}
{
    survived core --package callgate-core
    survived authentication --file src/authentication.rs --profile test -- --lib --test it authentication
} | tee /dev/stderr | grep -E '^[a-z/]+\.rs:' | sed 's/:[0-9]*:[0-9]*:/:/' | sort | diff .ci/mutants.txt -
