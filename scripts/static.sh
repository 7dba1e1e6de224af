#!/bin/bash
# Builds one statically linked egrets, which runs on any distribution: stripped, with its
# debug information in a file beside it. No directory of the build goes into either, so that builds of
# a commit by the same compilers can be compared: docs/release.md.
#
#     scripts/static.sh               target/static/egrets and egrets.debug
#     ARCH=arm64 scripts/static.sh    the same for another architecture, in target/static-arm64
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
scripts/setup.sh build static

target=${CARGO_TARGET_DIR:-$PWD/target}
[[ $target = /* ]] || target=$PWD/$target
home=${CARGO_HOME:-$(scripts/cargo.sh --home)}
out=$target/static
machine=$(uname -m)
libraries=$(dirname "$(gcc -print-file-name=libelf.a)")
[ -e "$libraries/libelf.a" ] || { echo "static.sh: there is no libelf.a: install libelf-dev" >&2; exit 2; }

[[ $PWD$target$home != *[[:space:]]* ]] || { echo "static.sh: a path with blanks can't be passed to the compilers: $PWD, $target, $home" >&2; exit 2; }
tools= # prefix of the binutils' names
if [ "${ARCH:-$(dpkg --print-architecture)}" != "$(dpkg --print-architecture)" ]; then
	scripts/setup.sh emulator
	cross=$(scripts/cross.sh "$ARCH")
	eval "$cross"
	out+=-$ARCH
	case $ARCH in
	arm64) machine=aarch64 ;;
	esac
	tools=$machine-linux-gnu-
fi
triple=$machine-unknown-linux-gnu
# Where things were built goes into no file. Of several that match, the last counts.
flags="-C target-feature=+crt-static -C link-arg=-Wl,--build-id=sha1"
prefixes=
for mapped in "$PWD=/usr/src/egrets" "$target=/usr/src/egrets/target" "$home=/usr/src/cargo"; do
	flags+=" --remap-path-prefix=$mapped"
	prefixes+=" -ffile-prefix-map=$mapped"
done
umask 022
export RUSTFLAGS=$flags CFLAGS="${CFLAGS:-}$prefixes" CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 LC_ALL=C
# of this machine, for what the build itself runs too
variable=LIBBPF_SYS_LIBRARY_PATH_$(uname -m)_unknown_linux_gnu
export "$variable=$libraries"
unset RUSTC_WORKSPACE_WRAPPER # clippy builds nothing

scripts/cargo.sh build --locked --profile dist --target "$triple" --features static,parquet

mkdir -p "$out"
built=$target/$triple/dist/egrets
"${tools}objcopy" --only-keep-debug --compress-debug-sections=zlib "$built" "$out/egrets.debug"
chmod 644 "$out/egrets.debug"
(cd "$out" && "${tools}objcopy" --strip-all --remove-section=.comment --add-gnu-debuglink=egrets.debug "$built" egrets)
if readelf --program-headers --wide "$out/egrets" | grep -q INTERP; then
	echo "static.sh: $out/egrets is not statically linked" >&2
	exit 1
fi
# a build as the user goes on there
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"
run=()
[ -z "$tools" ] || run=("qemu-$machine-static")
"${run[@]}" "$out/egrets" --version
(cd "$out" && sha256sum egrets egrets.debug)
