#!/bin/bash
# Puts the files of a package into an archive, for distributions that have no package of their own,
# and writes the PKGBUILD that makes one for Arch Linux of it.
#
#     scripts/tarball.sh     target/packages/egrets-VERSION-linux-ARCH.tar.gz
#
# EGRETS_STATIC names a program that was built before, ARCH another architecture than this one, as Debian
# names it.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
machine=$(scripts/machine.sh)
program=$(scripts/program.sh)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export LC_ALL=C
umask 022

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
scripts/stage.sh "$root" "$program"
install -D -m 644 LICENSE "$root/usr/share/licenses/egrets/LICENSE"
mkdir -p "$target/packages"
archive=egrets-$version-linux-$machine.tar.gz
# the directories are the system's, with their own rights
(cd "$root" && find usr etc -type f -print0 | tar --null -T - --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
	--owner=0 --group=0 --numeric-owner --format=gnu -cf -) | gzip -9n >"$target/packages/$archive"

# for the architectures that there are archives of
sums='' machines=()
for other in x86_64 aarch64; do
	file=egrets-$version-linux-$other.tar.gz
	[ -e "$target/packages/$file" ] || continue
	machines+=("$other")
	sums+="source_$other=('$file')"$'\n'
	sums+="sha256sums_$other=('$(sha256sum "$target/packages/$file" | cut -d ' ' -f 1)')"$'\n'
done
awk -v version="$version" -v sums="$sums" -v machines="${machines[*]}" \
	'{ sub(/@VERSION@/, version); sub(/@MACHINES@/, machines) } $0 == "@SOURCES@" { printf "%s", sums; next } { print }' \
	packaging/arch/PKGBUILD.in >"$target/packages/PKGBUILD"
cp packaging/arch/egrets.install "$target/packages/"
# a build as the user goes on there
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target/packages"
(cd "$target/packages" && sha256sum "$archive")
