#!/bin/bash
# Installs what is missing for each of its arguments, from Debian's packages:
#
#     setup.sh [root] [build] [static] [arm64] [emulator] [deb] [rpm] [release] [packages] [reader] [test] [engines] [kernels] [peers] [fuzz] [lint] [book] [vmlinux]
#
# "root" installs nothing: it says early that root is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "$*" >&2
	exit 2
}

packages=()
rust=no
for part in "$@"; do
	case $part in
	root) [ "$(id -u)" = 0 ] || fail "egrets watches the whole machine, so this needs root: use sudo make" ;;
	build)
		rust=yes
		packages+=(clang libelf-dev zlib1g-dev pkg-config make gcc)
		;;
	static) packages+=(binutils) ;;
	arm64) packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
	emulator) packages+=(qemu-user-static) ;;
	deb) packages+=(dpkg gzip xz-utils) ;;
	rpm) packages+=(rpm) ;;
	release) packages+=(git python3-minimal binutils libelf-dev zlib1g-dev libc6-dev) ;;
	packages) packages+=(debootstrap lintian python3-minimal util-linux makepkg pacman-package-manager libarchive-tools zstd curl docker.io
			sqlite3 procps iproute2) ;;
	reader)
		rust=yes
		packages+=(make gcc)
		;;
	test)
		[ "$(id -u)" = 0 ] || fail "the tests load BPF programs and make network namespaces: sudo make test"
		packages+=(curl dnsmasq-base bind9-dnsutils sqlite3 iproute2 iptables nftables docker.io
			podman conmon busybox-static netcat-openbsd util-linux e2fsprogs procps libcap2-bin aria2 musl-tools
			zsh fish python3-venv systemd bsdutils openssl rpm openssh-client dropbear-bin tinyproxy-bin
			dbus libnotify-bin python3-dbus python3-gi)
		# DNS over HTTPS needs the whole browser
		command -v chromium >/dev/null || packages+=(chromium)
		command -v node >/dev/null || packages+=(nodejs)
		command -v javac >/dev/null || packages+=(default-jdk-headless)
		;;
	kernels)
		packages+=(kmod cpio binutils)
		[ "${ARCH:-amd64}" = amd64 ] && packages+=(qemu-system-x86) || packages+=(qemu-system-arm)
		;;
	engines)
		packages+=(python3-venv)
		command -v java >/dev/null || packages+=(default-jre-headless)
		command -v npm >/dev/null || packages+=(npm)
		;;
	peers) packages+=(libbpf-tools bpftrace) ;;
	fuzz) packages+=(g++) ;;
	lint) packages+=(clang-format codespell shellcheck) ;;
	book) packages+=(linkchecker python3-venv) ;;
	vmlinux) packages+=(bpftool) ;;
	*) fail "setup.sh: what is \"$part\"?" ;;
	esac
done

missing=()
if command -v dpkg-query >/dev/null; then
	for package in "${packages[@]}"; do
		status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) || true
		[[ $status == ?i* ]] || missing+=("$package")
	done
else
	echo "this is not Debian: if something is missing, install what Debian calls ${packages[*]}" >&2
fi
if [ ${#missing[@]} -gt 0 ]; then
	[ "$(id -u)" = 0 ] || fail "missing packages: sudo apt-get install ${missing[*]}"
	echo "installing ${missing[*]}" >&2
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get update -q
		apt-get install -q -y --no-install-recommends "${missing[@]}"
	} >&2 || fail "these packages could not be installed: ${missing[*]}"
fi

[ $rust = yes ] || exit 0
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(scripts/cargo.sh --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
	fail "this cargo is $found, and egrets needs Rust $wanted or later: run 'rustup update',
or see https://www.rust-lang.org/tools/install (Debian's own packages are too old)"
fi
