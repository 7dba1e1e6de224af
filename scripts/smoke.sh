#!/bin/bash
# Tries the files of a release as they are: each program and package has the version, what it should
# hold, and its checksum where it has one; the programs answer a question.
#
#     scripts/smoke.sh DIR VERSION
#
# As root it records a command with this architecture's program, and the others read that history.
# scripts/packages.sh installs the packages.
set -euo pipefail
shopt -s inherit_errexit
cd "$1"
version=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
check() { # check WHAT COMMAND…
	"${@:2}" >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "smoke.sh: failed: $1" >&2; exit 1; }
	echo "ok: $1"
	passed=$((passed + 1))
}
says() { # says TEXT COMMAND…
	local out
	out=$("${@:2}" 2>&1) || true
	[[ $out == *"$1"* ]] || { echo "$out"; return 1; }
}
# blobs IMAGE: each has the digest that is its name
blobs() {
	rm -rf "$work/image"
	mkdir "$work/image"
	tar -xf "$1" -C "$work/image"
	(cd "$work/image/blobs/sha256" && for blob in *; do echo "$blob  $blob"; done | sha256sum --check --quiet) &&
		python3 -m json.tool "$work/image/index.json" && python3 -m json.tool "$work/image/manifest.json"
}

here=$(uname -m)
[ "$(id -u)" != 0 ] || check "it records" "./egrets-$here" record --config none --db "$work/history/e.db" -- \
	bash -c 'exec 3<>/dev/udp/127.0.0.1/9; echo hello >&3'
for machine in x86_64 aarch64; do
	[ -e "egrets-$machine" ] || continue
	case $machine in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64 ;;
	esac
	run=("./egrets-$machine")
	[ $machine = "$here" ] || run=("qemu-$machine-static" "${run[0]}")
	check "$machine: the program has the version" says "egrets $version" "${run[@]}" --version
	check "$machine: it is linked statically" bash -c "! readelf -lW egrets-$machine | grep INTERP"
	[ "$(id -u)" != 0 ] ||
		check "$machine: it reads a history" says 9/udp "${run[@]}" query --db "$work/history/e.db" what did bash talk to
	check "$machine: the .deb has the version" says "$version-1" dpkg-deb -f "egrets_$version-1_$arch.deb" Version
	check "$machine: and the program" says ./usr/bin/egrets dpkg-deb -c "egrets_$version-1_$arch.deb"
	rpm=egrets-$version-1.$machine.rpm
	check "$machine: the .rpm has the version" says "$version-1.$machine" rpm -qp --nosignature --qf '%{VERSION}-%{RELEASE}.%{ARCH}' "$rpm"
	for path in /usr/bin/egrets /usr/lib/systemd/system/egrets.service /usr/share/man/man1/egrets-record.1.gz; do
		check "$machine: and $path" says "$path" rpm -qpl --nosignature "$rpm"
	done
	check "$machine: it keeps a changed configuration" says /etc/egrets/egrets.toml rpm -qpc --nosignature "$rpm"
	check "$machine: it disables what it removes" says "systemctl --no-reload disable" rpm -qp --scripts --nosignature "$rpm"
	check "$machine: the archive has the program" says usr/bin/egrets tar -tzf "egrets-$version-linux-$machine.tar.gz"
	check "$machine: PKGBUILD has its checksum" grep -q "$(sha256sum <"egrets-$version-linux-$machine.tar.gz" | cut -d ' ' -f 1)" PKGBUILD
	check "$machine: the image is whole" blobs "egrets_${version}_$arch.image.tar"
	check "$machine: it is of this architecture" says "\"architecture\": \"$arch\"" python3 -m json.tool "$work/image/index.json"
done
echo "$passed passed, 0 failed"
