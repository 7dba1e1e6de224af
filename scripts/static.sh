#!/bin/bash
# Builds one statically linked egrets, which runs on any distribution: stripped, with its
# debug information in a file beside it. No directory of the build goes into either, so that builds of
# a commit by the same compilers can be compared: docs/release.md.
#
#     scripts/static.sh      target/static/egrets and egrets.debug
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build static

target=${CARGO_TARGET_DIR:-$PWD/target}
[[ $target = /* ]] || target=$PWD/$target
home=${CARGO_HOME:-$(scripts/cargo.sh --home)}
out=$target/static
triple=$(uname -m)-unknown-linux-gnu
libraries=$(dirname "$(gcc -print-file-name=libelf.a)")
[ -e "$libraries/libelf.a" ] || { echo "static.sh: there is no libelf.a: install libelf-dev" >&2; exit 2; }

[[ $PWD$target$home != *[[:space:]]* ]] || { echo "static.sh: a path with blanks can't be passed to the compilers: $PWD, $target, $home" >&2; exit 2; }
# Where things were built goes into no file. Of several that match, the last counts.
flags="-C target-feature=+crt-static -C link-arg=-Wl,--build-id=sha1"
prefixes=
for mapped in "$PWD=/usr/src/egrets" "$target=/usr/src/egrets/target" "$home=/usr/src/cargo"; do
	flags+=" --remap-path-prefix=$mapped"
	prefixes+=" -ffile-prefix-map=$mapped"
done
umask 022
export RUSTFLAGS=$flags CFLAGS="${CFLAGS:-}$prefixes" CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 LC_ALL=C
export LIBBPF_SYS_LIBRARY_PATH=$libraries
unset RUSTC_WORKSPACE_WRAPPER # clippy builds nothing

scripts/cargo.sh build --locked --profile dist --target "$triple" --features static,parquet

mkdir -p "$out"
built=$target/$triple/dist/egrets
objcopy --only-keep-debug --compress-debug-sections=zlib "$built" "$out/egrets.debug"
chmod 644 "$out/egrets.debug"
(cd "$out" && objcopy --strip-all --remove-section=.comment --add-gnu-debuglink=egrets.debug "$built" egrets)
if readelf --program-headers --wide "$out/egrets" | grep -q INTERP; then
	echo "static.sh: $out/egrets is not statically linked" >&2
	exit 1
fi
# a build as the user goes on there
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"
"$out/egrets" --version
(cd "$out" && sha256sum egrets egrets.debug)
