#!/bin/bash
# Asks the questions of tests/fleet.rs of ClickHouse (as chDB) and Spark, and compares their answers
# with those of the history. Both are half a gigabyte, so `make test` and CI only ask DuckDB. With
# `install`, it only installs them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build engines

engines=${CARGO_TARGET_DIR:-target}/tmp/engines
versions='chdb==4.4.0 pyspark==4.3.0'
if [ "$(cat "$engines/versions" 2>/dev/null)" != "$versions" ]; then
	mkdir -p "$(dirname "$engines")"
	rm -rf "$engines"
	python3 -m venv "$engines"
	# shellcheck disable=SC2086 # a word each
	"$engines/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-compile $versions || {
		echo "these could not be installed in $engines: $versions" >&2
		exit 2
	}
	echo "$versions" >"$engines/versions"
fi
[ "${1:-}" = install ] && exit
scripts/cargo.sh test --features parquet --test integration -- --ignored --test-threads 1 answers_questions
