#!/bin/bash
# Format and lints of all the code, and links of the documentation. Runs every check, then fails if one did.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build lint

status=0
scripts/cargo.sh fmt --check || status=1
# where clippy is the compiler (.ci/run), the tests' build is the check, and is built once
if [ "${RUSTC_WORKSPACE_WRAPPER:-}" = clippy-driver ]; then
	scripts/cargo.sh test --no-run --all-targets --features parquet || status=1
else
	scripts/cargo.sh clippy --all-targets --features parquet -- -D warnings || status=1
fi
# the two vmlinux files are generated, or go into what is
find bpf -name '*.[ch]' ! -name 'vmlinux*' -exec clang-format --dry-run -Werror {} + || status=1
# each header includes what it uses
headers=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -path '*libbpf-sys-*/libbpf/src/bpf_helpers.h' | sort | tail -n 1)
include=$(mktemp -d)
trap 'rm -rf "$include"' EXIT
ln -s "${headers%/*}" "$include/bpf"
for header in bpf/*.h; do
	[ "$header" = bpf/vmlinux_prelude.h ] ||
		clang -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Werror -Ibpf -I"$include" -fsyntax-only \
			-x c - <<<"#include \"${header##*/}\"" || status=1
done
[ "$(uname -m)" != x86_64 ] || scripts/check-arm64.sh || status=1
shellcheck -x scripts/*.sh contrib/ci/*.sh .ci/run || status=1
scripts/prose.sh || status=1
scripts/book.sh || status=1
exit $status
