#!/bin/bash
# Format and lints of all the code. Runs every check, then fails if one did.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build lint

status=0
scripts/cargo.sh fmt --check || status=1
scripts/cargo.sh clippy --all-targets -- -D warnings || status=1
# the two vmlinux files are generated, or go into what is
find bpf -name '*.[ch]' ! -name 'vmlinux*' -exec clang-format --dry-run -Werror {} + || status=1
shellcheck scripts/*.sh .ci/run || status=1
exit $status
