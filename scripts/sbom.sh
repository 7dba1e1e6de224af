#!/bin/bash
# Writes what the program of packages is built of, as CycloneDX: each crate with its version,
# licence and checksum, and those of other languages that are linked in.
#
#     scripts/sbom.sh FILE
#
# cargo-cyclonedx is built once, into target/tmp.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/tmp/sbom
[[ $tools = /* ]] || tools=$PWD/$tools
wanted=0.5.9
out=$(realpath -m "$1")

if [ "$(cat "$tools/version" 2>/dev/null)" != "$wanted" ]; then
	CARGO_TARGET_DIR=$tools/target scripts/cargo.sh install --quiet --locked --version "$wanted" --root "$tools" cargo-cyclonedx
	rm -rf "$tools/target"
	echo "$wanted" >"$tools/version"
fi
trap 'rm -f egrets-sbom.json' EXIT
PATH=$tools/bin:$PATH scripts/cargo.sh cyclonedx --quiet --format json --spec-version 1.5 --features static,parquet \
	--target "$(uname -m)-unknown-linux-gnu" --override-filename egrets-sbom
# the serial number, the time and the directory would make it another file each time
python3 - egrets-sbom.json "$out" "$(dpkg-query -W -f '${Version}' libelf-dev)" "$(dpkg-query -W -f '${Version}' zlib1g-dev)" \
	"$(dpkg-query -W -f '${Version}' libc6-dev)" <<-'END'
	import json, os, sys
	source, out, libelf, zlib, libc = sys.argv[1:]
	bom = json.load(open(source))
	bom.pop("serialNumber", None)
	bom["metadata"].pop("timestamp", None)
	for name, version, licence in ("libelf", libelf, "LGPL-3.0-or-later OR GPL-2.0-or-later"), ("zlib", zlib, "Zlib"), ("glibc", libc, "LGPL-2.1-or-later"):
	    bom["components"].append({"type": "library", "name": name, "version": version, "licenses": [{"expression": licence}]})
	text = json.dumps(bom, indent=1).replace(os.getcwd(), "/usr/src/egrets")
	names = {component["name"] for component in bom["components"]}
	assert {"libbpf-sys", "rusqlite", "glibc"} <= names, names
	open(out, "w").write(text + "\n")
END
