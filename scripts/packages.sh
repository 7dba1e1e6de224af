#!/bin/bash
# Tests the packages in a fresh minimal Debian each: install, record, upgrade, remove, purge. The .rpm
# is installed there by rpm, and the package for Arch Linux, which makepkg makes, by pacman.
# Not a part of make test: it takes a release build, and fetches a system from the mirror.
#
#     scripts/packages.sh    of target/packages, which make deb, rpm and tarball have built
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh root deb packages

target=${CARGO_TARGET_DIR:-$PWD/target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
first=$target/packages/egrets_$version-1_$arch.deb
suite=${SUITE:-bookworm}
machine=$(uname -m)
rpm=$target/packages/egrets-$version-1.$machine.rpm
archive=$target/packages/egrets-$version-linux-$machine.tar.gz
for package in "$first" "$rpm" "$archive"; do
	[ -e "$package" ] || { echo "packages.sh: there is no $package: make deb rpm tarball" >&2; exit 2; }
done

# In a mount namespace, so that nothing stays mounted, whatever happens.
if [ "${1:-}" != inside ]; then
	exec unshare --mount --propagation private scripts/packages.sh inside
fi

work=$(mktemp -d)
server=
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	umount --recursive --lazy "$work/root/proc" "$work/root/sys" "$work/root/dev" 2>/dev/null || true
	rm -rf --one-file-system "$work"
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target/packages"
}
trap finish EXIT
passed=0
check() { # check WHAT COMMAND…
	local what=$1
	shift
	"$@" || { echo "packages.sh: failed: $what" >&2; exit 1; }
	echo "ok: $what"
	passed=$((passed + 1))
}
says() { # says TEXT COMMAND…: it prints that
	local text=$1 out
	shift
	out=$("$@" 2>&1) || true
	[[ $out == *"$text"* ]] || { echo "$out"; return 1; }
}
inside() { chroot "$work/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
absent() { [ ! -e "$work/root$1" ]; }
present() { [ -e "$work/root$1" ]; }

check "lintian finds nothing" lintian --fail-on error,warning "$first"

# the same program as the next revision
second=$target/packages/egrets_$version-2_$arch.deb
dpkg-deb -x "$first" "$work/program"
EGRETS_STATIC=$work/program/usr/bin/egrets REVISION=2 COMPRESSION=none scripts/deb.sh >/dev/null

# The mirror of this system: an address, or a file with addresses.
mirror=$(sed -nE 's,^(URIs:|deb( \[[^]]*\])?) *((https?|mirror)[^ ]*).*,\3,p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
base=${BASE:-$target/packages/$suite.tar}
# system: a fresh one, in $work/root
system() {
	[ ! -e "$work/root" ] || umount --recursive --lazy "$work"/root/{proc,sys,dev}
	rm -rf --one-file-system "$work/root"
	if [ ! -e "$base" ]; then
		debootstrap --variant=minbase --include=systemd,curl "$suite" "$work/root" "${mirror:-http://deb.debian.org/debian}" >"$work/log" 2>&1 ||
			{ tail -n 20 "$work/log" >&2; exit 1; }
		tar -C "$work/root" --one-file-system -cf "$base.new" .
		mv "$base.new" "$base"
	else
		mkdir "$work/root"
		tar -C "$work/root" -xf "$base"
	fi
	for dir in proc sys dev; do
		mount --rbind "/$dir" "$work/root/$dir"
	done
	echo '127.0.0.1 web.test' >>"$work/root/etc/hosts"
}
system
cp "$first" "$second" "$work/root/root/"

check "it installs alone" inside dpkg -i "/root/${first##*/}"
check "the program runs" inside egrets --version
check "nothing is enabled" says disabled inside systemctl is-enabled egrets.service
check "nothing listens" says disabled inside systemctl is-enabled egrets-serve.service
check "the manual is there" present /usr/share/man/man1/egrets-record.1.gz
check "the configuration is valid" says "no errors" inside egrets config check

# A server of this machine, whose name the system inside has for itself.
mkdir "$work/web"
echo hello >"$work/web/index.html"
: >"$work/server"
python3 -u -m http.server --bind 127.0.0.1 --directory "$work/web" 0 >"$work/server" 2>&1 &
server=$!
for _ in {1..50}; do
	port=$(sed -nE 's/.* port ([0-9]+).*/\1/p' "$work/server")
	[ -z "$port" ] || break
	sleep 0.1
done
printf '[record]\nkeep = "30d"\n' >"$work/root/etc/egrets/conf.d/10-keep.toml"
check "a command is recorded" says hello inside egrets record -- curl --silent "http://web.test:$port/"
check "its destination has its name" says web.test inside egrets query what did curl talk to
check "the drop-in holds" says "30d" inside egrets status

inside systemctl enable egrets.service >/dev/null 2>&1
echo '# mine' >>"$work/root/etc/egrets/egrets.toml"
check "it upgrades" inside dpkg -i "/root/${second##*/}"
check "the unit stays enabled" says enabled inside systemctl is-enabled egrets.service
check "changes of the configuration stay" grep -q '^# mine' "$work/root/etc/egrets/egrets.toml"
check "the history stays" says web.test inside egrets query what did curl talk to

check "it is removed" inside dpkg --remove egrets
check "the program is gone" absent /usr/bin/egrets
check "the history outlives it" present /var/lib/egrets/egrets.db
check "so does the configuration" present /etc/egrets/egrets.toml
check "it installs again" inside dpkg -i "/root/${second##*/}"
check "with the history before" says web.test inside egrets query what did curl talk to

check "it is purged" inside dpkg --purge egrets
check "with the history" absent /var/lib/egrets
rm -f "$work/root/etc/egrets/conf.d/10-keep.toml"
check "and what it configured" absent /etc/egrets/egrets.toml
check "no link of a unit is left" absent /etc/systemd/system/multi-user.target.wants/egrets.service

# rpm's database is one of this Debian's own
install_rpm() { rpm --root "$work/root" --nosignature --nodeps -i "$rpm"; }
remove_rpm() { rpm --root "$work/root" --nodeps -e egrets; }
pacman() { command pacman --root "$work/root" --noconfirm --noprogressbar "$@"; }
install_arch() { pacman -U "$work"/arch/*.pkg.tar.zst; }
remove_arch() { pacman -R egrets; }

# others KIND: what any other package does
others() {
	check "$1: it installs" "install_$1"
	check "$1: the configuration is valid" says "no errors" inside egrets config check
	check "$1: the manual is there" present /usr/share/man/man1/egrets-record.1.gz
	check "$1: a command is recorded" says hello inside egrets record -- curl --silent "http://web.test:$port/"
	check "$1: its destination has its name" says web.test inside egrets query what did curl talk to
	inside systemctl enable egrets.service >/dev/null 2>&1
	echo '# mine' >>"$work/root/etc/egrets/egrets.toml"
	check "$1: it is removed" "remove_$1"
	check "$1: the program is gone" absent /usr/bin/egrets
	check "$1: the history outlives it" present /var/lib/egrets/egrets.db
	check "$1: no link of a unit is left" absent /etc/systemd/system/multi-user.target.wants/egrets.service
}
system
others rpm
check "rpm: the changed configuration stays" grep -q '^# mine' "$work/root/etc/egrets/egrets.toml.rpmsave"

system
mkdir "$work/arch" "$work/root/var/lib/pacman"
cp "$archive" "$target/packages/PKGBUILD" "$target/packages/egrets.install" "$work/arch/"
chown -R 65534:65534 "$work/arch" # makepkg refuses root
chmod 711 "$work"
check "arch: makepkg makes a package" setpriv --reuid=65534 --regid=65534 --clear-groups env -C "$work/arch" HOME="$work/arch" PKGEXT=.pkg.tar.zst \
	makepkg --nodeps --noconfirm
others arch
check "arch: the changed configuration stays" grep -q '^# mine' "$work/root/etc/egrets/egrets.toml.pacsave"
echo "$passed passed, 0 failed"
