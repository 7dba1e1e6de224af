#!/bin/bash
# Lays out what a package holds, for the scripts that make packages of it:
#
#     scripts/stage.sh ROOT PROGRAM [ZSH]
#
# below ROOT. ZSH is the directory of zsh's completions, /usr/share/zsh/site-functions by default.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$1 program=$2
doc=$root/usr/share/doc/egrets
export LC_ALL=C
umask 022
# one of another architecture writes its manual all the same
run=()
"$program" --version >/dev/null 2>&1 || run=(qemu-aarch64-static)

install -D -m 755 "$program" "$root/usr/bin/egrets"
mkdir -p "$doc/contrib" "$root/usr/lib/systemd/system" "$root/etc/egrets/conf.d"
for unit in egrets egrets-serve egrets-ship; do
	sed 's|@PREFIX@|/usr|' systemd/$unit.service >"$root/usr/lib/systemd/system/$unit.service"
done
"${run[@]}" "$program" man-pages "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
install -D -m 644 completions/egrets.bash "$root/usr/share/bash-completion/completions/egrets"
install -D -m 644 completions/_egrets "$root${3:-/usr/share/zsh/site-functions}/_egrets"
install -D -m 644 completions/egrets.fish "$root/usr/share/fish/vendor_completions.d/egrets.fish"
install -m 644 contrib/egrets.toml "$root/etc/egrets/egrets.toml"
cp -r contrib/grafana contrib/kubernetes "$doc/contrib/"
cp -r README.md docs "$doc/"
