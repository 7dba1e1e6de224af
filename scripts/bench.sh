#!/bin/bash
# Builds the benchmarks as the user who called sudo, and runs them as root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh root build

built=$(scripts/cargo.sh bench --no-run --features parquet --message-format=json-render-diagnostics)
mapfile -t benches < <(sed -n 's/.*"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p' <<<"$built")
for bench in "${benches[@]}"; do
	"$bench" --bench
done
