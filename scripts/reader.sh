#!/bin/bash
# Builds egrets without what records, for machines that only read a history, and runs the
# unit tests and the tests of that build, with few random cases: make test has the others.
# Needs neither clang nor libelf nor root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh reader

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export PROPTEST_CASES=${PROPTEST_CASES:-8} INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD
status=0
scripts/cargo.sh test --no-default-features --no-fail-fast 2>&1 | tee "$log" || status=1
sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log" |
	awk '{ passed += $1; failed += $2 } END { print passed + 0 " passed, " failed + 0 " failed" }'
exit $status
