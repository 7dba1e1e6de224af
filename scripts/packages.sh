#!/bin/bash
# Tests the packages in a fresh minimal Debian each: install, record, upgrade, remove, purge. The .rpm
# is installed there by rpm, and the package for Arch Linux, which makepkg makes, by pacman. The
# archive, the program alone and the container image are tried, too; the image by a Docker daemon.
# Not a part of make test: it takes a release build, and fetches a system from the mirror.
#
#     scripts/packages.sh        of target/packages, which make deb, rpm, tarball and image have built
#     scripts/packages.sh DIR    of a release: target/release-VERSION
#
# Its last lines are the table of docs/release.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh root deb rpm packages

target=${CARGO_TARGET_DIR:-$PWD/target}
[[ $target = /* ]] || target=$PWD/$target
arch=$(dpkg --print-architecture)
suite=${SUITE:-bookworm}
machine=$(uname -m)

# In a mount namespace, so that nothing stays mounted, whatever happens.
if [ "${1:-}" != inside ]; then
	dir=$(realpath -m "${1:-$target/packages}")
	exec unshare --mount --propagation private scripts/packages.sh inside "$dir"
fi

dir=$2
case ${dir##*/} in
release-*) version=${dir##*/release-} ;;
*) version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1) ;;
esac
first=$dir/egrets_$version-1_$arch.deb
rpm=$dir/egrets-$version-1.$machine.rpm
archive=$dir/egrets-$version-linux-$machine.tar.gz
image=$dir/egrets_${version}_$arch.image.tar
for package in "$first" "$rpm" "$archive" "$image"; do
	[ -e "$package" ] || { echo "packages.sh: there is no $package: make deb rpm tarball image" >&2; exit 2; }
done

work=$(mktemp -d)
server='' daemon='' stays='' booted='' cgroup=''
finish() {
	# shellcheck disable=SC2086 # none or two
	kill $server $stays 2>/dev/null || true
	[ -z "$booted" ] || halt
	if [ -n "$daemon" ]; then
		docker rm --force egrets >/dev/null 2>&1 || true
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" || true
	fi
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
eventually() { # eventually TEXT COMMAND…
	for _ in {1..50}; do
		! says "$@" >/dev/null || return 0
		sleep 0.2
	done
	says "$@"
}
inside() { chroot "$work/root" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
docker() { command docker --host "unix://$work/docker.sock" "$@"; }
absent() { [ ! -e "$work/root$1" ]; }
present() { [ -e "$work/root$1" ]; }
# row FILE INSTALL REMOVE: of the table, when all of that has passed
rows=()
row() { rows+=("| \`${1##*/}\` | $(stat -c %s "$1" | awk '{ printf "%.1f", $1 / 1e6 }') | $2 | yes | $3 |"); }

check "lintian finds nothing" lintian --fail-on error,warning "$first"

# the same program as the next revision
dpkg-deb -x "$first" "$work/program"
program=$work/program/usr/bin/egrets
revision() { VERSION=$version REVISION=2 CARGO_TARGET_DIR=$work EGRETS_STATIC=$program COMPRESSION=none "scripts/$1.sh" >/dev/null; }
revision deb
revision rpm
second=$work/packages/${first##*/}
second=${second/-1_/-2_}

# The mirror of this system: an address, or a file with addresses.
mirror=$(sed -nE 's,^(URIs:|deb( \[[^]]*\])?) *((https?|mirror)[^ ]*).*,\3,p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
mkdir -p "$target/packages"
base=${BASE:-$target/packages/$suite.tar}
# system: a fresh one, in $work/root
system() {
	local dir
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

row "$first" "dpkg -i" "dpkg --remove, --purge"

# An upgrade while the unit records, under a systemd of its own: attempts go on all the time, each to a port
# of its own, which refuses it. None is missing but in the gap that the history says.
halt() {
	kill -KILL "$booted"
	wait "$booted" 2>/dev/null || true
	# whose processes take a moment to be gone
	for _ in {1..50}; do
		! find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || break
		sleep 0.1
	done
	booted=
}
within() { nsenter --target "$(pgrep -P "$booted")" --all env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
sql() { sqlite3 -readonly "$work/root/var/lib/egrets/egrets.db" "$@"; }
# their port, when each began and when it was over, in /attempts
attempts() {
	cat >"$work/root/attempts.sh" <<-'END'
		for ((port = 10000; ; port++)); do
			start=${EPOCHREALTIME/./}000
			: <>/dev/tcp/127.0.0.1/$port
			echo "$port $start ${EPOCHREALTIME/./}000" >>/attempts
			sleep 0.05
		done 2>/dev/null
	END
	# as the recorder sees the system's own cgroups alone
	printf '[Service]\nExecStart=bash /attempts.sh\n' >"$work/root/etc/systemd/system/attempts.service"
	within systemctl daemon-reload && within systemctl start attempts.service
}
# how many have no row although no gap touches them
unrecorded() {
	sql "CREATE TEMP TABLE attempt (port INTEGER, start INTEGER, done INTEGER)" ".separator ' '" \
		".import $work/root/attempts attempt" "SELECT count(*) FROM attempt
		WHERE port NOT IN (SELECT dst_port FROM egress WHERE comm = 'bash' AND dst_ip = '127.0.0.1')
		AND NOT EXISTS (SELECT 1 FROM gaps WHERE kind = 'recording' AND start < to_ts AND done > from_ts)"
}
latest() { tail -n 1 "$work/root/attempts" | cut -d ' ' -f 1; }
recorded() { eventually "$1" sql "SELECT dst_port FROM egress WHERE comm = 'bash' AND dst_port = $1"; }

system
cp "$first" "$second" "$work/root/root/"
cgroup=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)/egrets-packages-$$
mkdir "$cgroup"
scripts/boot.sh "$work/root" "$cgroup" >"$work/log" 2>&1 &
booted=$!
check "upgrade: systemd runs" eventually running within systemctl is-system-running
within dpkg -i "/root/${first##*/}" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
check "upgrade: the unit records" within systemctl enable --now egrets.service
check "upgrade: it is at work" eventually "running since" within egrets status
check "upgrade: attempts go on" attempts
sleep 2
check "upgrade: attempts before are recorded" recorded "$(latest)"
recorder=$(within systemctl show --value --property MainPID egrets.service)
check "upgrade: it upgrades" within dpkg -i "/root/${second##*/}"
check "upgrade: another recorder runs" test "$(within systemctl show --value --property MainPID egrets.service)" != "$recorder"
check "upgrade: it is at work, too" eventually "running since" within egrets status
sleep 2
within systemctl stop attempts.service
check "upgrade: attempts after are recorded" recorded "$(latest)"
check "upgrade: and all others but for those in the gap" test "$(unrecorded)" = 0
check "upgrade: which is one, of an orderly end" test "$(sql "SELECT why FROM gaps WHERE kind = 'recording'")" = "not recording"
gap=$(sql "SELECT (to_ts - from_ts) / 1000000 FROM gaps WHERE kind = 'recording'")
check "upgrade: and as short as a restart" test "$gap" -lt 10000
halt

# rpm's database is one of this Debian's own
rpm() { command rpm --root "$work/root" --nosignature --nodeps "$@"; }
install_rpm() { rpm -i "$rpm"; }
upgrade_rpm() { rpm -U "$work/packages/egrets-$version-2.$machine.rpm"; }
remove_rpm() { rpm -e egrets; }
pacman() { command pacman --root "$work/root" --noconfirm --noprogressbar "$@"; }
install_arch() { pacman -U "$work/arch/egrets-$version-1-$machine.pkg.tar.zst"; }
upgrade_arch() { pacman -U "$work/arch/egrets-$version-2-$machine.pkg.tar.zst"; }
remove_arch() { pacman -R egrets; }
# as docs/install.md says
install_archive() { tar -xzf "$archive" -C "$work/root" --no-same-owner; }
upgrade_archive() { tar -xzf "$archive" -C "$work/root" --no-same-owner --exclude=etc/egrets/egrets.toml; }
remove_archive() {
	inside systemctl disable egrets egrets-serve egrets-ship &&
		tar -tzf "$archive" --exclude=etc/egrets/egrets.toml | env -C "$work/root" xargs rm
}

# others KIND: what any other package does
others() {
	check "$1: it installs" "install_$1"
	check "$1: the configuration is valid" says "no errors" inside egrets config check
	check "$1: the manual is there" present /usr/share/man/man1/egrets-record.1.gz
	check "$1: a command is recorded" says hello inside egrets record -- curl --silent "http://web.test:$port/"
	check "$1: its destination has its name" says web.test inside egrets query what did curl talk to
	inside systemctl enable egrets.service >/dev/null 2>&1
	echo '# mine' >>"$work/root/etc/egrets/egrets.toml"
	check "$1: it upgrades" "upgrade_$1"
	check "$1: the unit stays enabled" says enabled inside systemctl is-enabled egrets.service
	check "$1: changes of the configuration stay" grep -q '^# mine' "$work/root/etc/egrets/egrets.toml"
	check "$1: it is removed" "remove_$1"
	check "$1: the program is gone" absent /usr/bin/egrets
	check "$1: the units are gone" absent /usr/lib/systemd/system/egrets.service
	check "$1: the history outlives it" present /var/lib/egrets/egrets.db
	check "$1: no link of a unit is left" absent /etc/systemd/system/multi-user.target.wants/egrets.service
}
system
others rpm
check "rpm: the changed configuration stays" grep -q '^# mine' "$work/root/etc/egrets/egrets.toml.rpmsave"
row "$rpm" "rpm -i" "rpm -e"

system
mkdir "$work/arch" "$work/root/var/lib/pacman"
cp "$archive" "$dir/PKGBUILD" "$dir/egrets.install" "$work/arch/"
sed 's/^pkgrel=1/pkgrel=2/' "$dir/PKGBUILD" >"$work/arch/PKGBUILD.2"
chown -R 65534:65534 "$work/arch" # makepkg refuses root
chmod 711 "$work"
build_arch() { # build_arch PKGBUILD
	setpriv --reuid=65534 --regid=65534 --clear-groups env -C "$work/arch" HOME="$work/arch" PKGEXT=.pkg.tar.zst \
		makepkg --nodeps --noconfirm --force -p "$1"
}
check "arch: makepkg makes a package" build_arch PKGBUILD
check "arch: and the next" build_arch PKGBUILD.2
others arch
check "arch: the changed configuration stays" grep -q '^# mine' "$work/root/etc/egrets/egrets.toml.pacsave"
row "$work/arch/egrets-$version-1-$machine.pkg.tar.zst" "makepkg, pacman -U" "pacman -R"

system
others archive
left() { (cd "$work/root" && find etc usr -path '*egrets*' ! -type d); }
check "archive: nothing but the configuration is left" test "$(left)" = etc/egrets/egrets.toml
row "$archive" "tar -x" "rm"

system
install -D -m 755 "$program" "$work/root/usr/local/bin/egrets"
check "alone: the program needs no file beside it" says hello inside egrets record -- curl --silent "http://web.test:$port/"
check "alone: its destination has its name" says web.test inside egrets query what did curl talk to
# milliseconds from the start of the recorder to that of the command
began() {
	local from
	from=$(date +%s%N)
	echo $((($(inside egrets record --db /tmp/e.db -- date +%s%N) - from) / 1000000))
}
starts=$(for _ in {1..5}; do began; done | sort -n | sed -n 3p)
# A kernel without BTF, as far as can be seen.
mount -t tmpfs none "$work/root/sys/kernel/btf"
check "alone: a kernel without BTF is refused" says CONFIG_DEBUG_INFO_BTF=y inside egrets record -- curl --silent "http://web.test:$port/"
check "alone: check says that, too" says "type information (BTF)" inside egrets check
check "alone: a history can be read there" says web.test inside egrets query what did curl talk to
umount "$work/root/sys/kernel/btf"
rm "$work/root/usr/local/bin/egrets"
[ ! -e "$dir/egrets-$machine" ] || row "$dir/egrets-$machine" install rm

# The host's curl, here, has the name from the hosts file of this mount namespace.
echo '127.0.0.1 web.test' >"$work/hosts"
mount --bind "$work/hosts" /etc/hosts

# The command of docs/install.md, for a daemon whose containers have no network of their own.
dockerd --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" --host "unix://$work/docker.sock" \
	--bridge=none --iptables=false --ip-forward=false >"$work/docker.log" 2>&1 &
daemon=$!
for _ in {1..300}; do
	! docker info >/dev/null 2>&1 || break
	kill -0 $daemon 2>/dev/null || { cat "$work/docker.log"; exit 1; }
	sleep 0.1
done
check "image: it loads" says "egrets:$version" docker load -i "$image"
command=$(sed -n '/^    docker run /,/egrets:VERSION$/p' docs/install.md | sed "s/\\\\$//; s/egrets:VERSION/egrets:$version/; s,-v /run/docker.sock:,-v $work/docker.sock:,")
read -r -d '' -a words <<<"$command" || true
recording() { # with these options
	docker "${words[@]:1}" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
	for _ in {1..300}; do
		! says "recording into" docker logs egrets >/dev/null || return 0
		sleep 0.1
	done
	docker logs egrets
	return 1
}
if says 'unknown capability: "CAP_BPF"' docker create "${words[@]:3}" >/dev/null; then
	read -r -d '' -a words <<<"${command/BPF --cap-add=PERFMON/SYS_ADMIN}" || true
fi
docker rm egrets >/dev/null 2>&1 || true
check "image: it records" recording
# The hosts file of another mount namespace is read by way of a process that was started there, and curl is soon gone.
sleep 600 &
stays=$!
check "image: a command of the host is recorded" says hello curl --silent --noproxy '*' "http://web.test:$port/"
check "image: its destination has its name" eventually web.test docker exec egrets egrets query what did curl talk to
docker rm --force egrets >/dev/null
check "image: the history outlives the container" says web.test docker run --rm --network=none -v egrets:/var/lib/egrets "egrets:$version" query what did curl talk to
check "image: it is removed" docker image rm "egrets:$version"
check "image: the history, too" docker volume rm egrets
row "$image" "docker load" "docker rm, image rm, volume rm"

# The other architecture's, as far as they can be tried here: refused, with the same files.
other=arm64 elsewhere=aarch64
[ "$arch" = amd64 ] || other=amd64 elsewhere=x86_64
deb_files() { dpkg-deb --fsys-tarfile "$1" | tar -t | sort; }
rpm_files() { command rpm -qpl --nosignature "$1" | sort; }
tar_files() { tar -tzf "$1" | sort; }
same() { diff <("$1" "$2") <("$1" "$3"); }
if [ -e "$dir/egrets-$elsewhere" ]; then
	deb=${first/_$arch./_$other.} foreign=${rpm/.$machine./.$elsewhere.}
	check "$other: the .deb has the same files" same deb_files "$first" "$deb"
	check "$other: the .rpm has the same files" same rpm_files "$rpm" "$foreign"
	check "$other: the archive has the same files" same tar_files "$archive" "${archive/-$machine./-$elsewhere.}"
	cp "$deb" "$work/root/root/"
	check "$other: the .deb is refused" says "does not match system" inside dpkg -i "/root/${deb##*/}"
	check "$other: the .rpm is refused" says "is intended for a different architecture" rpm -i "$foreign"
	cp "${archive/-$machine./-$elsewhere.}" "$work/arch/"
	CARCH=$elsewhere build_arch PKGBUILD >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
	mkdir -p "$work/root/var/lib/pacman"
	check "$other: Arch's package is refused" says "architecture is not valid" pacman -U "$work/arch/egrets-$version-1-$elsewhere.pkg.tar.zst"
	check "$other: the image loads" docker load -i "${image/_$arch./_$other.}"
	# neither runs, unless the machine has an emulator for foreign programs
	if [ ! -e "/proc/sys/fs/binfmt_misc/qemu-$elsewhere" ]; then
		check "$other: the program does not run" says "xec format error" bash -c "$dir/egrets-$elsewhere --version"
		check "$other: the image does not run" says "xec format error" docker run --rm --network=none "egrets:$version" --version
	fi
fi

printf '| file | MB | installed by | recorded a curl | removed by |\n| --- | --: | --- | --- | --- |\n'
printf '%s\n' "${rows[@]}"
echo "An upgrade is a gap of $gap ms."
echo "The program starts to record in $starts ms: Linux $(uname -r), $(nproc) processors."
echo "$passed passed, 0 failed"
