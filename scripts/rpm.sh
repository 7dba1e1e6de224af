#!/bin/bash
# Builds an RPM package of the static program, with rpmbuild alone. Equal programs make equal packages.
#
#     scripts/rpm.sh         target/packages/egrets-VERSION-REVISION.ARCH.rpm
#
# EGRETS_STATIC names a program that was built before, ARCH another architecture than this one, as Debian
# names it. REVISION is 1, and VERSION that of Cargo.toml by default.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
scripts/setup.sh rpm

target=${CARGO_TARGET_DIR:-$PWD/target}
[[ $target = /* ]] || target=$PWD/$target
machine=$(scripts/machine.sh)
program=$(scripts/program.sh)
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
revision=${REVISION:-1}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/stage.sh "$work/files" "$program"
install -D -m 644 LICENSE "$work/files/usr/share/licenses/egrets/LICENSE"
find "$work/files" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
rpmbuild -bb --quiet --target "$machine-linux" \
	--define "_topdir $work" --define "_rpmdir $work/out" --define "_dbpath $work/db" \
	--define "version_ $version" --define "revision_ $revision" --define "staged $work/files" \
	--define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
	--define 'clamp_mtime_to_source_date_epoch 1' --define '_binary_payload w6.xzdio' \
	packaging/rpm/egrets.spec >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

mkdir -p "$target/packages"
package=egrets-$version-$revision.$machine.rpm
cp "$work/out/$machine/$package" "$target/packages/"
# a build as the user goes on there
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target/packages"
(cd "$target/packages" && sha256sum "$package")
