#!/bin/bash
# Runs cargo in this directory, under sudo as the user who called it: so target/
# and ~/.cargo stay that user's. sudo's PATH leaves ~/.cargo/bin out, so cargo is
# looked for there; CARGO=/path/to/cargo names another one.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "$*" >&2
	exit 2
}

user=$(id -un)
home=$HOME
as_user=()
if [ "$(id -u)" = 0 ] && [ "${SUDO_USER:-root}" != root ]; then
	user=$SUDO_USER
	home=$(getent passwd "$user" | cut -d : -f 6) || true
	[ -n "$home" ] || fail "there is no user $user, whom SUDO_USER names"
	as_user=(runuser -u "$user" -- env "HOME=$home" "USER=$user" "LOGNAME=$user")
fi

path=${CARGO_HOME:-$home/.cargo}/bin:$PATH
# where the sources of dependencies are
if [ "${1:-}" = --home ]; then
	echo "${CARGO_HOME:-$home/.cargo}"
	exit
fi
cargo=${CARGO:-$(PATH=$path command -v cargo)} ||
	fail "there is no cargo for the user $user. Install Rust as that user, without sudo, as
https://www.rust-lang.org/tools/install says, and try again. Where it is installed
elsewhere, say so: CARGO=/path/to/cargo on the command line of make"

if [ "${1:-}" != --version ]; then
	target=${CARGO_TARGET_DIR:-target}
	# what the tests, run as root, leave in target/tmp does not matter
	if [ "$user" != root ] && [ -e "$target" ] &&
		other=$(find "$target" -path "$target/tmp" -prune -o ! -user "$user" -print -quit) && [ -n "$other" ]; then
		fail "$other is not $user's: it was built by another user, and $user can't
build over it. Remove it all with 'sudo make clean' and try again"
	fi
	[ ${#as_user[@]} = 0 ] || "${as_user[@]}" test -w . ||
		fail "$user may not write to $PWD: get a copy of egrets as $user, without sudo, and try again"
fi
exec "${as_user[@]}" env "PATH=$path" "$cargo" "$@"
