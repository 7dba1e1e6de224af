#!/bin/bash
# Puts the tools of the tests that are not installed as packages into target/tmp: a client
# built against musl; nscd, only unpacked, since the installed service would answer in place
# of the tests' name servers; and DuckDB, a client of QUIC, a reader of metrics and a server of
# S3's protocol, in a Python virtual environment that is also the home of DuckDB's extension.
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
python=$tools/python
versions='duckdb==1.5.5 duckdb-cli==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-sqlite-scanner==1.5.5 aioquic==1.7.2 prometheus_client==0.26.0
	moto==5.2.5 flask==3.1.3 flask-cors==6.0.5 py-partiql-parser==0.6.3 pyyaml==6.0.4'
if [ "$(cat "$python/versions" 2>/dev/null)" != "$versions" ]; then
	rm -rf "$python"
	python3 -m venv "$python"
	{
		# shellcheck disable=SC2086 # a word each
		"$python/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-compile $versions &&
			HOME=$python "$python/bin/python" -c \
				'from duckdb_extensions import import_extension; import_extension("sqlite_scanner")'
	} || {
		echo "these could not be installed in $python: $versions" >&2
		exit 2
	}
	echo "$versions" >"$python/versions"
fi
