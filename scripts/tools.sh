#!/bin/bash
# Puts the tools of the tests that are not installed as packages into target/tmp: a client
# built against musl; nscd, only unpacked, since the installed service would answer in place
# of the tests' name servers; and DuckDB, in a Python virtual environment that is also the
# home of its extension.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tmp
mkdir -p "$tools"

if [ tests/tools/dial-musl.c -nt "$tools/dial-musl" ]; then
	musl-gcc -Wall -Werror -Os -static -o "$tools/dial-musl" tests/tools/dial-musl.c
fi
if [ ! -x "$tools/nscd" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	chmod 755 "$work" # apt's own user may write nothing there, and warns
	(cd "$work" && apt-get -q -o APT::Sandbox::User=root download nscd) >"$work/log" 2>&1 || {
		echo "nscd could not be downloaded: $(tail -n 3 "$work/log")" >&2
		exit 2
	}
	dpkg-deb -x "$work"/nscd_*.deb "$work"
	cp "$work/usr/sbin/nscd" "$tools/nscd"
fi
duckdb=$tools/duckdb
version=1.5.5
if [ "$(cat "$duckdb/version" 2>/dev/null)" != $version ]; then
	rm -rf "$duckdb"
	python3 -m venv "$duckdb"
	{
		"$duckdb/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
			duckdb==$version duckdb-extensions==$version duckdb-extension-sqlite-scanner==$version &&
			HOME=$duckdb "$duckdb/bin/python" -c \
				'from duckdb_extensions import import_extension; import_extension("sqlite_scanner")'
	} || {
		echo "DuckDB could not be installed in $duckdb" >&2
		exit 2
	}
	echo $version >"$duckdb/version"
fi
