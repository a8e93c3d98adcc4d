#!/usr/bin/env bash
# Checks the template, the workflows and the scripts, as far as possible without AWS and GitHub. Exceptions are in those
# files, with their reasons.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh
python_tools

# The tools need the name of any region.
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-eu-central-1}
sam validate --lint
python tests/template/translations.py
checkov --framework cloudformation --skip-download --quiet --compact --file template.yaml
zizmor --offline --quiet .github/workflows
# A fork, because upstream's packages do not contain a program. It checks the scripts in the workflows with shellcheck.
actionlint
git ls-files -z -- '*.sh' .ci/run fuzz/run | xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR --source-path=.
