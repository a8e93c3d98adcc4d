#!/usr/bin/env bash
# Builds the zip that is deployed, and checks that it depends only on the source: SAM and a second build elsewhere give
# the same bytes.
#
#   .ci/package.sh [--once] [DIRECTORY]     callgate-ARCHITECTURE.zip in DIRECTORY, by default target/package
#
# --once leaves out the comparisons.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh
python_tools

once=false
if [ "${1-}" = --once ]; then
    once=true
    shift
fi
out=$(realpath --canonicalize-missing "${1:-target/package}")
mkdir -p "$out"

# A cold start loads these bytes. Raising a limit is a decision.
readonly binary_limit=6200000 zip_limit=2800000

# The second build must not find the first.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR

# portable SOURCE: panic messages must not contain this machine's paths
portable() {
    export RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$1=/callgate"
    RUSTFLAGS+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
}

# build SOURCE [OPTION]: writes SOURCE/target/lambda/callgate/bootstrap
build() (
    cd "$1"
    portable "$PWD"
    cargo lambda build --release --locked --bin callgate "${@:2}"
)

# pack BINARY ZIP: the zip holds exactly `bootstrap`, with a fixed date
pack() {
    python3 - "$1" "$2" <<'PYTHON'
import pathlib, sys, zipfile

binary, archive = map(pathlib.Path, sys.argv[1:])
entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
entry.create_system = 3  # Unix, whose permissions follow
entry.external_attr = 0o100755 << 16
entry.compress_type = zipfile.ZIP_DEFLATED
with zipfile.ZipFile(archive, "w") as opened:
    opened.writestr(entry, binary.read_bytes(), compresslevel=9)
PYTHON
}

# within FILE BYTES
within() {
    echo "$(basename "$1"): $(stat --format %s "$1") bytes of at most $2"
    [ "$(stat --format %s "$1")" -le "$2" ]
}

# build_zip ARCHITECTURE [OPTION]
build_zip() {
    build . "${@:2}"
    pack target/lambda/callgate/bootstrap "$out/callgate-$1.zip"
    within target/lambda/callgate/bootstrap "$binary_limit"
    within "$out/callgate-$1.zip" "$zip_limit"
}

# arm64 needs the standard library of its target, which not every machine can get; .ci/packed.sh warns if it is missing.
# x86_64 comes last: its binary stays.
rm -f "$out"/callgate-*.zip
target=aarch64-unknown-linux-gnu
if rustup target list --installed | grep -qx "$target" || timeout 60 rustup target add "$target"; then
    build_zip arm64 --arm64
fi
build_zip x86_64
(cd "$out" && sha256sum callgate-*.zip | tee SHA256SUMS)

if $once; then
    exit
fi

portable "$PWD" # the same flags, so that SAM does not compile again
sam build --parameter-overrides Architecture=x86_64
[ "$(ls .aws-sam/build/Function)" = bootstrap ]
pack .aws-sam/build/Function/bootstrap target/sam.zip
cmp "$out/callgate-x86_64.zip" target/sam.zip

elsewhere=$(mktemp --directory)
trap 'rm -rf "$elsewhere"' EXIT
# The files that git knows, and no results of an earlier build.
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$elsewhere"
build "$elsewhere"
pack "$elsewhere/target/lambda/callgate/bootstrap" "$elsewhere/callgate.zip"
cmp "$out/callgate-x86_64.zip" "$elsewhere/callgate.zip"
echo "cargo lambda, SAM and a build in another folder give the same bytes"
