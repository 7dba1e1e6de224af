#!/bin/bash
# Builds a Debian package of the static program, with dpkg-deb alone: there is nothing to
# compile or to compute dependencies of. Equal programs make equal packages.
#
#     scripts/deb.sh         target/packages/egrets_VERSION-REVISION_ARCH.deb
#
# EGRETS_STATIC names a program that was built before, ARCH another architecture than this one.
# REVISION is 1, VERSION that of Cargo.toml, and COMPRESSION xz by default.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
scripts/setup.sh deb

target=${CARGO_TARGET_DIR:-$PWD/target}
arch=${ARCH:-$(dpkg --print-architecture)}
program=$(scripts/program.sh)
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
revision=${REVISION:-1}
maintainer=$(git log -1 --format='%an <%ae>')
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C
umask 022

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
doc=$root/usr/share/doc/egrets
scripts/stage.sh "$root" "$program" /usr/share/zsh/vendor-completions
mkdir "$root/DEBIAN"
cp CHANGELOG.md "$doc/changelog"
cat >"$doc/changelog.Debian" <<-END
	egrets ($version-$revision) stable; urgency=medium

	  * $version: see changelog.gz.

	 -- $maintainer  $(date -uRd "@$SOURCE_DATE_EPOCH")
END
license=$(sed -n '/^Copyright/,$p' LICENSE | sed 's/^$/./; s/^/ /')
awk -v text="$license" '$0 == "@LICENSE@" { print text; next } { print }' packaging/debian/copyright >"$doc/copyright"
install -D -m 644 packaging/debian/egrets.lintian-overrides "$root/usr/share/lintian/overrides/egrets"
gzip -9n "$doc/changelog" "$doc/changelog.Debian"

install -m 755 packaging/debian/{postinst,prerm,postrm} "$root/DEBIAN/"
echo /etc/egrets/egrets.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find usr etc -type f ! -path etc/egrets/egrets.toml -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
sed "s|@VERSION@|$version-$revision|; s|@ARCH@|$arch|; s|@MAINTAINER@|$maintainer|; s|@SIZE@|$size|" \
	packaging/debian/control.in >"$root/DEBIAN/control"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$target/packages"
package=$target/packages/egrets_$version-${revision}_$arch.deb
dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --build "$root" "$package" >/dev/null
# a build as the user goes on there
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target/packages"
(cd "$target/packages" && sha256sum "${package##*/}")
