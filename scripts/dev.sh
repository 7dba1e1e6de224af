#!/bin/bash
# A quick loop without root, for what needs no BPF: unit tests, with few random cases, and
# a question to a history of made-up traffic.
#
#     make dev [TESTS=query::] [QUESTION="top 10 hosts"]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build

export PROPTEST_CASES=${PROPTEST_CASES:-8} INSTA_UPDATE=no
scripts/cargo.sh test --quiet --lib -- ${TESTS:+"$TESTS"}

db=$(realpath "${CARGO_TARGET_DIR:-target}")/dev.db
rm -f "$db"*
scripts/cargo.sh bench --quiet --profile dev --bench history -- --write "$db" 5000
set -x
scripts/cargo.sh run --quiet -- query --db "$db" "${QUESTION:-top 5 hosts}"
