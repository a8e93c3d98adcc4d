#!/usr/bin/env bash
# Checks template.yaml as far as that goes without an AWS account. Exceptions stand in the template, with their reasons.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

# Only the names of regions are needed, but the tools insist on one.
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-eu-central-1}

sam validate --lint
cfn-lint template.yaml
checkov --framework cloudformation --skip-download --quiet --compact --file template.yaml
