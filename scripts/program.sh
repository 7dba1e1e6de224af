#!/bin/bash
# Prints the path of the static program that packages are made of: EGRETS_STATIC, which was built
# before, or a build of scripts/static.sh for ARCH.
set -euo pipefail
cd "$(dirname "$0")/.."

program=${EGRETS_STATIC:-}
if [ -z "$program" ]; then
	scripts/static.sh >&2
	target=${CARGO_TARGET_DIR:-$PWD/target}
	program=$target/static/egrets
	here=$(dpkg --print-architecture)
	[ "${ARCH:-$here}" = "$here" ] || program=$target/static-$ARCH/egrets
fi
[ -x "$program" ] || { echo "program.sh: $program is no program" >&2; exit 2; }
echo "$program"
