#!/bin/bash
# Ships a history and asks engines of the dataset that many machines with it would have:
# CONNECTIONS of one machine, MACHINES and ENGINES as lists of words.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/engines.sh install
scripts/tools.sh

target=${CARGO_TARGET_DIR:-target}
scripts/cargo.sh build --release --features parquet
built=$(scripts/cargo.sh bench --no-run --features parquet --bench history --message-format=json-render-diagnostics)
generator=$(sed -n 's/.*"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p' <<<"$built")
python3 benches/fleet.py "$target/release/egrets" "$generator" "$target/tmp/python" "$target/tmp/engines"
