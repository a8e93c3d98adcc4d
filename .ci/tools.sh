#!/usr/bin/env bash
# Functions that install what CI needs besides Rust, a C compiler, Python 3 and curl. Source it; each is quick if the
# tool is installed already.
set -euo pipefail

ci=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$ci/venv/bin:$PATH:$ci/venv/checkov/bin:$ci/venv/aws/bin" SAM_CLI_TELEMETRY=0

# python_tools: installs the three lists of requirements under .ci/venv
python_tools() {
    local name venv requirements
    # aws-sam-cli, checkov and the AWS CLI need different versions of boto3, so each has its own environment.
    for name in "" checkov aws; do
        venv=$ci/venv/$name requirements=$ci/requirements${name:+-$name}.txt
        if ! cmp --silent "$requirements" "$venv/installed.txt"; then
            echo "installing $(tr '\n' ' ' < "$requirements")"
            python3 -m venv "$venv"
            "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
            # Last, so that an interrupted installation is repeated.
            cp "$requirements" "$venv/installed.txt"
        fi
    done
}

# cargo_tool NAME VERSION [OPTION]: without optimization, which takes a third of the time
cargo_tool() {
    command -v "$1" > /dev/null || cargo install --quiet --locked --debug "$1" --version "${@:2}"
}

# debian_package COMMAND PACKAGE...
debian_package() {
    local sudo
    if ! command -v "$1" > /dev/null; then
        sudo=$([ "$(id -u)" = 0 ] || echo sudo)
        # A bare image has no lists of packages. Without the option, a list that cannot be read is only a warning.
        $sudo apt-get update --quiet --error-on=any
        $sudo apt-get install --quiet --yes --no-install-recommends "${@:2}"
    fi
}

# warn_without_arm64: in a frame, because arm64 is the template's default
warn_without_arm64() {
    local edge
    edge=$(printf '!%.0s' {1..100})
    printf '\n%s\n!! WARNING: %s\n!! %s\n%s\n' "$edge" \
        "the function for arm64, the default of the template, was neither built nor run" \
        "try: rustup target add aarch64-unknown-linux-gnu" "$edge"
}
