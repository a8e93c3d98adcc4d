#!/usr/bin/env bash
# Installs what CI needs besides Rust under .ci/venv; quick when it is there already.
#
#   . .ci/tools.sh     also puts the tools on the PATH of the calling shell
set -euo pipefail

callgate_ci=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# install VENV REQUIREMENTS
install() {
    local venv=$callgate_ci/$1 requirements=$callgate_ci/$2
    if cmp --silent "$requirements" "$venv/installed.txt"; then
        return
    fi
    echo "installing $(tr '\n' ' ' <"$requirements")"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    # Last, so that an installation that was interrupted is done again.
    cp "$requirements" "$venv/installed.txt"
}

install venv requirements.txt
# aws-sam-cli, checkov and the AWS CLI pin different versions of boto3.
install venv/checkov requirements-checkov.txt
install venv/aws requirements-aws.txt

export PATH="$callgate_ci/venv/bin:$PATH:$callgate_ci/venv/checkov/bin:$callgate_ci/venv/aws/bin"
export SAM_CLI_TELEMETRY=0
