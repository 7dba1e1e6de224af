#!/bin/bash
# Asks the questions of tests/fleet.rs of ClickHouse (as chDB) and Spark, and compares their answers
# with those of the history; and ships to Azure's emulator (Azurite). They are half a gigabyte
# together, so `make test` and CI only ask DuckDB, and ship to Amazon's and Google's protocols. With
# `install`, it only installs them. EGRETS_KILLS is how often shippers are killed.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build engines

engines=${CARGO_TARGET_DIR:-target}/tmp/engines
versions='chdb==4.4.0 pyspark==4.3.0 azure-storage-blob==12.31.1'
azurite=azurite@3.37.0
if [ "$(cat "$engines/versions" 2>/dev/null)" != "$versions $azurite" ]; then
	mkdir -p "$(dirname "$engines")"
	rm -rf "$engines"
	python3 -m venv "$engines"
	# shellcheck disable=SC2086 # a word each
	if ! "$engines/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-compile $versions ||
		! npm install --silent --no-audit --no-fund --no-update-notifier --prefix "$engines" "$azurite"; then
		echo "these could not be installed in $engines: $versions $azurite" >&2
		exit 2
	fi
	echo "$versions $azurite" >"$engines/versions"
fi
[ "${1:-}" = install ] && exit
scripts/cargo.sh test --features parquet --test integration -- --ignored --test-threads 1 answers_questions _azure_
