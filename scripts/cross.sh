#!/bin/bash
# Gets what a build for another architecture takes, and prints its environment:
#
#     eval "$(scripts/cross.sh arm64)"
#
# The compiler and binutils are Debian's for that architecture, libelf and zlib are from its own
# packages, unpacked in target/cross. So is Rust, unless the one here has this target already
# (rustup target add aarch64-unknown-linux-gnu): Debian's compiler with its standard library for both.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
# shellcheck source=scripts/apt.sh
. scripts/apt.sh

fail() {
	echo "cross.sh: $*" >&2
	exit 2
}

arch=${1:-}
here=$(dpkg --print-architecture)
case $here-$arch in
amd64-arm64) machine=aarch64 ;;
*) fail "from $here only arm64, on amd64, is known: not '$arch'" ;;
esac
scripts/setup.sh build "$arch" >&2

target=${CARGO_TARGET_DIR:-$PWD/target}
[[ $target = /* ]] || target=$PWD/$target
dir=$target/cross/$arch
root=$dir/root
triple=$machine-unknown-linux-gnu
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# of PACKAGE: the version that Debian has, or nothing
of() {
	apt_of "$dir" apt-cache policy "$1" | sed -nE 's/^  Candidate: ([0-9].*)/\1/p'
}

# rust: unpacks a compiler with the standard library of both architectures
rust() {
	local compiler library version names
	for compiler in rustc-web rustc; do
		library=libstd-rust${compiler#rustc}-dev
		version=$(of "$compiler")
		if [ -n "$version" ] && dpkg --compare-versions "$version" ge "$wanted" && [ "$(of "$library:$arch")" = "$version" ]; then
			# what the compiler itself is linked with, but for what every system has
			mapfile -t names < <(apt_of "$dir" apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
				--no-breaks --no-replaces --no-enhances "$library" | grep -E '^lib' |
				grep -vE ':|^(libc6|libgcc-s1|libstdc\+\+6|libcrypt1)$')
			apt_unpack "$dir" "$root" "$compiler" "$library:$arch" "${names[@]}"
			return
		fi
	done
	fail "this Rust has no target $triple, and Debian $suite none from $wanted on: run
'rustup target add $triple'"
}

if [ "$(cat "$dir/done" 2>/dev/null)" != "$suite $wanted" ]; then
	rm -rf "$dir"
	apt_lists "$dir" "$suite" "$arch"
	apt_unpack "$dir" "$root" "libelf-dev:$arch" "zlib1g-dev:$arch"
	sysroot=$(PATH=$(scripts/cargo.sh --home)/bin:$PATH "${RUSTC:-rustc}" --print sysroot 2>/dev/null) || sysroot=$root
	[ -e "$sysroot/lib/rustlib/$triple" ] || rust
	echo "$suite $wanted" >"$dir/done"
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target/cross"
fi

put() {
	printf 'export %s=%q\n' "$1" "$2"
}
# cargo's and the crates' names of a target
variable=${triple//-/_}
put "CARGO_TARGET_${variable^^}_LINKER" "$machine-linux-gnu-gcc"
put "CARGO_TARGET_${variable^^}_RUSTFLAGS" '-C target-feature=+crt-static'
# for what runs here, too: those of this machine come first
put CFLAGS "${CFLAGS:+$CFLAGS }-idirafter $root/usr/include"
put "LIBBPF_SYS_LIBRARY_PATH_$variable" "$root/usr/lib/$machine-linux-gnu"
put "LIBBPF_SYS_LIBRARY_PATH_$(uname -m)_unknown_linux_gnu" "$(dirname "$(gcc -print-file-name=libelf.a)")"
if [ -e "$root/usr/bin/rustc" ]; then
	cat >"$dir/rustc" <<-END
		#!/bin/sh
		LD_LIBRARY_PATH=$root/usr/lib/$(gcc -print-multiarch) exec $root/usr/bin/rustc "\$@"
	END
	chmod 755 "$dir/rustc"
	put RUSTC "$dir/rustc"
fi
