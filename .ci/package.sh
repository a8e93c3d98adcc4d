#!/usr/bin/env bash
# Builds what is deployed, with cargo lambda and with SAM, and shows that the result depends on the source alone:
# a second build, in another directory, gives the same zip.
#
#   .ci/package.sh [--once] [DIRECTORY]     callgate-ARCHITECTURE.zip in DIRECTORY, by default target/package
#
# --once leaves the second build out.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

once=false
if [ "${1-}" = --once ]; then
    once=true
    shift
fi
out=$(realpath --canonicalize-missing "${1:-target/package}")
mkdir -p "$out"

# Bytes a cold start has to load; more is a decision, not an accident.
readonly binary_budget=5500000 zip_budget=2500000

# The second build must not find the first.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR

cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)

# portable SOURCE: what panics say shall not hold this machine's directories.
portable() {
    export RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust --remap-path-prefix=$1=/callgate"
}

# build SOURCE ARCHITECTURE: the binary, in SOURCE/target/lambda/callgate.
build() (
    cd "$1"
    portable "$PWD"
    if [ "$2" = arm64 ]; then
        set -- --arm64
    else
        set --
    fi
    cargo lambda build --release --locked --bin callgate "$@"
)

# pack BINARY ZIP: exactly `bootstrap`, dated by nobody's clock.
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

within() {
    local size
    size=$(stat --format %s "$1")
    echo "$(basename "$1"): $size bytes of $2"
    [ "$size" -le "$2" ]
}

architectures=(x86_64)
# arm64 needs the standard library of its target, which not every machine has.
if rustup target list --installed | grep -qx aarch64-unknown-linux-gnu; then
    architectures+=(arm64)
fi

for architecture in "${architectures[@]}"; do
    echo "-- $architecture"
    build . "$architecture"
    pack target/lambda/callgate/bootstrap "$out/callgate-$architecture.zip"
    within target/lambda/callgate/bootstrap "$binary_budget"
    within "$out/callgate-$architecture.zip" "$zip_budget"
done
(cd "$out" && sha256sum callgate-*.zip | tee SHA256SUMS)

if $once; then
    exit
fi

echo "-- x86_64, with SAM"
portable "$PWD" # the same flags, so that nothing is compiled anew
sam build --parameter-overrides Architecture=x86_64
[ "$(ls .aws-sam/build/Function)" = bootstrap ]
pack .aws-sam/build/Function/bootstrap "$out/sam.zip"
cmp "$out/callgate-x86_64.zip" "$out/sam.zip"
rm "$out/sam.zip"

echo "-- x86_64, once more, elsewhere"
elsewhere=$(mktemp --directory)
trap 'rm -rf "$elsewhere"' EXIT
# What git knows, as it stands, and nothing that an earlier build left behind.
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$elsewhere"
build "$elsewhere" x86_64
pack "$elsewhere/target/lambda/callgate/bootstrap" "$elsewhere/callgate-x86_64.zip"
cmp "$out/callgate-x86_64.zip" "$elsewhere/callgate-x86_64.zip"
echo "both builds are the same"
