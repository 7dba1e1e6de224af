#!/bin/bash
# Builds egrets without what records, for machines that only read a history, and runs the
# tests of that build. Needs neither clang nor libelf nor root. The unit tests of what it has
# are the same in the whole build: make test and make dev run them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh reader

export INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD
scripts/cargo.sh test --no-default-features --test integration
