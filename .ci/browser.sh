#!/usr/bin/env bash
# Tests the console in a real browser, and its pages with axe-core.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh

axe="axe-core@4.14.1"
# The font of the README's pictures.
debian_package chromedriver chromium chromium-driver fonts-dejavu-core
debian_package npm npm
mkdir -p "target/$axe"
if [ ! -e "target/$axe/package/axe.min.js" ]; then
    tar -xzf "target/$axe/$(npm pack "$axe" --silent --pack-destination "target/$axe")" -C "target/$axe"
fi
CALLGATE_AXE=$PWD/target/$axe/package/axe.min.js cargo test --workspace --test it -- browser:: --ignored
