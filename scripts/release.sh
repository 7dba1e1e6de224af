#!/bin/bash
# Makes all files of a release from the commit that is checked out, in clones of it, so that the working
# tree and its version stay as they are:
#
#     make release VERSION=0.2.0 [ARCHS="amd64 arm64"]
#
# It checks the tree, sets the version and the section of the changelog, builds the program of this
# architecture twice, in different directories, and compares them, packages it, lists what it is built of,
# and tries each file. All is then in target/release-VERSION, with SHA256SUMS, the notes, and
# release.patch, which is the commit to make and to tag: docs/release.md.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
repository=$PWD

fail() {
	echo "release.sh: $*" >&2
	exit 2
}

version=${VERSION:-}
[[ $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.]+)?$ ]] ||
	fail "make release VERSION=MAJOR.MINOR.PATCH: '$version' is no version"
dirty=$(git status --porcelain)
[ -z "$dirty" ] || fail "there are changes that are not committed:
$dirty"
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || fail "there is a tag v$version already"
last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) || last=
[ -z "$last" ] || [ "$(printf '%s\n' "${last#v}" "$version" | sort -V | tail -n 1)" = "$version" ] ||
	fail "$version is older than $last"
notes=$(awk '/^## / { on = ($2 == "[Unreleased]"); next } on' CHANGELOG.md)
[[ $notes = *[![:space:]]* ]] || fail "CHANGELOG.md has nothing in its section Unreleased"

here=$(dpkg --print-architecture)
archs=${ARCHS:-$here}
for arch in $archs; do
	[[ $arch = amd64 || $arch = arm64 ]] || fail "ARCHS: amd64 and arm64, not $arch"
done
[[ " $archs " = *" $here "* ]] || fail "ARCHS has to include $here, which is tried here"
scripts/setup.sh build static deb rpm release

target=${CARGO_TARGET_DIR:-$PWD/target}
[[ $target = /* ]] || target=$PWD/$target
out=$target/release-$version
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
unset EGRETS_STATIC
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
rm -rf "$out"
mkdir -p "$out"

# prepare DIR: a clone, with the version
prepare() {
	git clone -q --no-hardlinks "$repository" "$1"
	(
		cd "$1"
		sed -i "0,/^version = .*/s//version = \"$version\"/" Cargo.toml
		sed -i "/^name = \"egrets\"$/{n;s/^version = .*/version = \"$version\"/}" Cargo.lock
		sed -i "s/^\(appVersion\|version\): .*/\1: $version/" contrib/kubernetes/chart/Chart.yaml
		sed -i "s/\(egrets:\|version: \"\?\)[0-9][0-9.]*[0-9]/\1$version/" contrib/kubernetes/daemonset.yaml
		awk -v version="$version" -v date="$(date -ud "@$SOURCE_DATE_EPOCH" +%F)" \
			'{ print } $0 == "## [Unreleased]" { printf "\n## [%s] - %s\n", version, date }' CHANGELOG.md >"$work/changelog"
		cat "$work/changelog" >CHANGELOG.md
	)
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$1"
}
# sum_of PROGRAM
sum_of() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

echo "== the program, twice"
prepare "$work/one"
prepare "$work/another/directory"
[ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$work"
(cd "$work/one" && CARGO_TARGET_DIR=$work/target scripts/static.sh)
(cd "$work/another/directory" && CARGO_TARGET_DIR=$work/another/target scripts/static.sh)
for file in egrets egrets.debug; do
	cmp "$work/target/static/$file" "$work/another/target/static/$file" || {
		cp "$work/target/static/$file" "$out/$file.one"
		cp "$work/another/target/static/$file" "$out/$file.other"
		fail "two builds of $file differ: both are in $out"
	}
done
rm -rf "$work/another"
echo "equal: $(sum_of "$work/target/static/egrets")"

cd "$work/one"
export CARGO_TARGET_DIR=$work/target
git diff >"$out/release.patch"
awk -v version="$version" '/^## / { on = ($2 == "[" version "]"); next } on' CHANGELOG.md | cat -s >"$out/notes.md"
for arch in $archs; do
	echo "== packages for $arch"
	static=$CARGO_TARGET_DIR/static
	if [ "$arch" != "$here" ]; then
		ARCH=$arch scripts/static.sh
		static+=-$arch
	fi
	machine=$(ARCH=$arch scripts/machine.sh)
	cp "$static/egrets" "$out/egrets-$machine"
	cp "$static/egrets.debug" "$out/egrets-$machine.debug"
	for package in deb rpm image tarball; do
		ARCH=$arch EGRETS_STATIC=$static/egrets scripts/$package.sh
	done
done
cp "$CARGO_TARGET_DIR"/packages/* "$out/"
git archive --format=tar --prefix="egrets-$version/" HEAD >"$work/source.tar"
tar --delete -f "$work/source.tar" "egrets-$version/"{Cargo.toml,Cargo.lock,CHANGELOG.md} \
	"egrets-$version/contrib/kubernetes/"{chart/Chart.yaml,daemonset.yaml}
tar --append -f "$work/source.tar" --transform "s,^,egrets-$version/," --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
	--numeric-owner Cargo.toml Cargo.lock CHANGELOG.md contrib/kubernetes/{chart/Chart.yaml,daemonset.yaml}
gzip -9n <"$work/source.tar" >"$out/egrets-$version.tar.gz"

echo "== what it is built of"
scripts/sbom.sh "$out/egrets-$version.cdx.json"

echo "== try each file"
scripts/smoke.sh "$out" "$version"
(cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >"$work/sums" &&
	mv "$work/sums" SHA256SUMS && chmod 644 SHA256SUMS)
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"
cat "$out/SHA256SUMS"
echo "$out has all files. Next: git apply $out/release.patch, commit it as 'release: $version', tag it v$version"
