#!/bin/bash
# Functions to look up and download packages of another Debian suite or architecture, from the
# mirrors that this machine uses, without a change to what apt does here. To be sourced.

# apt_of DIR COMMAND…: apt with the lists of that directory alone
apt_of() {
	local dir=$1 arch archs=()
	if [ -e "$dir/architectures" ]; then
		for arch in $(<"$dir/architectures"); do
			archs+=(-o "APT::Architectures::=$arch")
		done
	fi
	"$2" -o "Dir::Etc::sourcelist=$dir/sources" -o Dir::Etc::sourceparts=- \
		-o "Dir::State::Lists=$dir/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o Acquire::Languages=none -o APT::Sandbox::User=root "${archs[@]}" -q "${@:3}"
}

# apt_lists DIR SUITE [ARCH]: gets that directory its lists, once a day; of this machine's
# architecture and of that one. What apt says is in DIR/log.
apt_lists() {
	local dir=$1 suite=$2 arch=${3:-} origin site
	mkdir -p "$dir/lists/partial"
	: >"$dir/sources"
	rm -f "$dir/architectures"
	[ -z "$arch" ] || echo "$(dpkg --print-architecture) $arch" >"$dir/architectures"
	# shellcheck disable=SC2016 # apt-get's own variables
	apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' | sort -u |
		while read -r origin site; do
			[ "$origin" = Debian ] || continue
			case $site in
			*-security) [ "$suite" = sid ] || echo "deb $site $suite-security main" ;;
			*) echo "deb $site $suite main" ;;
			esac >>"$dir/sources"
		done
	[ -z "$(find "$dir/updated" -mmin -1440 2>/dev/null)" ] || return 0
	apt_of "$dir" apt-get update >"$dir/log" 2>&1 || {
		echo "no package lists of $suite${arch:+ for $arch}: $(tail -n 3 "$dir/log")" >&2
		return 1
	}
	touch "$dir/updated"
}

# apt_unpack DIR ROOT PACKAGE…: downloads these, and unpacks them in ROOT, without what they do when
# they are installed
apt_unpack() {
	local dir=$1 root=$2 debs package
	debs=$(mktemp -d)
	(cd "$debs" && apt_of "$dir" apt-get download "${@:3}") >"$dir/log" 2>&1 || {
		echo "these can't be downloaded: ${*:3}: $(tail -n 3 "$dir/log")" >&2
		rm -rf "$debs"
		return 1
	}
	mkdir -p "$root"
	for package in "$debs"/*.deb; do
		dpkg-deb -x "$package" "$root"
	done
	rm -rf "$debs"
}
