#!/usr/bin/env bash
# Runs the tests of starts, events, signatures and rules with the packed function of each architecture. On another
# processor, the one for arm64 runs in an emulator.
#
#   .ci/packed.sh [DIRECTORY]     with the packages, by default target/package
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

packages=${1:-target/package} root=/usr/aarch64-linux-gnu
[ -e "$packages/callgate-arm64.zip" ] || warn_without_arm64
for package in "$packages"/callgate-*.zip; do
    folder=$(realpath --canonicalize-missing "target/packed/$(basename "$package" .zip)")
    rm -rf "$folder"
    python3 -m zipfile --extract "$package" "$folder"
    chmod +x "$folder/bootstrap"
    program=$folder/bootstrap
    if [[ $package == *-arm64.zip && $(uname -m) != aarch64 ]]; then
        debian_package qemu-aarch64 qemu-user
        debian_package "$root/lib/ld-linux-aarch64.so.1" libc6-arm64-cross libgcc-s1-arm64-cross
        program=$folder/emulated
        printf '#!/bin/sh\nexec %s -L %s %s\n' "$(command -v qemu-aarch64)" "$root" "$folder/bootstrap" > "$program"
        chmod +x "$program"
    fi
    echo "$program"
    CALLGATE_BINARY=$program cargo test --quiet --locked --workspace --test it -- \
        start:: corpus:: decisions:: authentication:: connect:: hooks::
done
