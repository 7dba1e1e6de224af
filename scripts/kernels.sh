#!/bin/bash
# Runs the capture tests on the kernels that egrets supports, each in a virtual
# machine of its own, with every hook set that the kernel has:
#
#     make test-kernels [KERNELS="5.10 6.1"] [VOLUME=1] [TESTS="record hooks"]
#
# A kernel is the newest of its Debian suite, downloaded once and kept in
# $EGRETS_KERNELS. The machine is QEMU without KVM, so that this works in a virtual
# machine too. Its whole disk is an initramfs: this machine's own programs, and the
# tests as they were built here, which scripts/guest.sh runs. What they print comes
# back over the serial line. A machine that dies, hangs or gives no verdict has
# failed. Where all kernels pass, docs/kernels.md gets what was seen.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

declare -A SUITES=([5.10]=bullseye [6.1]=bookworm [6.12]=trixie [7]=sid)
ALL='5.10 6.1 6.12 7'
KERNELS=${KERNELS:-$ALL}
CAPTURE='hooks record dns loss protocols docker'
# what moves the bytes, and what no hook ends, is much the same everywhere: on two of the
# kernels
WAYS='coverage shapes leftovers'
WAYS_ON='5.10 6.12'
TESTS=${TESTS:-}
SETS=${SETS:-kprobe tracepoint}
# what Docker's daemon decides and no kernel changes; what needs other cgroups
SKIP=${SKIP---skip a_daemon_that --skip dockers_own_name_server --skip cgroup_v1_is_all}
VOLUME=${VOLUME:-0.3} # of the load tests: emulated, everything takes its time
CACHE=${EGRETS_KERNELS:-/var/cache/egrets-kernels}
LIMIT=2400   # seconds that a machine may take
BOOT=90      # and until it is up
MACHINES=2   # at a time
# of the packages that the tests use, those whose programs go into the machine
PACKAGES=(bash coreutils dash grep sed procps util-linux mount kmod tar libc-bin
	curl dnsmasq-base bind9-dnsutils bind9-host sqlite3 iproute2 iptables nftables
	docker.io containerd runc podman conmon busybox-static netcat-openbsd libcap2-bin aria2)
# modules that the tests want: the rest would only take time to unpack
MODULES=(kernel/net kernel/lib kernel/crypto kernel/arch/x86/crypto kernel/fs/overlayfs
	kernel/drivers/net/veth.ko kernel/drivers/net/dummy.ko)

fail() {
	echo "kernels.sh: $*" >&2
	exit 2
}

# apt_of SUITE COMMAND…: apt with the lists of that suite alone, from the mirrors
# that this machine uses
apt_of() {
	local dir=$CACHE/$1
	"$2" -o "Dir::Etc::sourcelist=$dir/sources" -o Dir::Etc::sourceparts=- \
		-o "Dir::State::Lists=$dir/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o Acquire::Languages=none -o APT::Sandbox::User=root -q "${@:3}"
}

# fetch SUITE: the newest kernel that it has, unpacked in $CACHE/SUITE/KERNEL;
# prints that directory
fetch() {
	local suite=$1 dir=$CACHE/$1 origin site image packages
	mkdir -p "$dir/lists/partial"
	: >"$dir/sources"
	# shellcheck disable=SC2016 # apt-get's own variables
	apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' | sort -u |
		while read -r origin site; do
			[ "$origin" = Debian ] || continue
			case $site in
			*-security) [ "$suite" = sid ] || echo "deb $site $suite-security main" ;;
			*) echo "deb $site $suite main" ;;
			esac >>"$dir/sources"
		done
	apt_of "$suite" apt-get update >"$dir/log" 2>&1 || fail "no package lists of $suite: $(tail -n 3 "$dir/log")"
	image=$(apt_of "$suite" apt-cache depends --important linux-image-amd64 | grep -om 1 'linux-image-[0-9].*') ||
		fail "$suite has no linux-image-amd64"
	if [ ! -e "$dir/$image/done" ]; then
		# sid keeps the kernel and its modules in packages of their own
		mapfile -t packages < <(apt_of "$suite" apt-cache depends --important "$image" |
			grep -oE 'linux-(binary|modules)-[0-9].*')
		rm -rf "${dir:?}"/linux-image-*
		mkdir "$dir/$image"
		(cd "$dir/$image" && apt_of "$suite" apt-get download "$image" "${packages[@]}") >"$dir/log" 2>&1 ||
			fail "$image can't be downloaded: $(tail -n 3 "$dir/log")"
		for package in "$dir/$image"/*.deb; do
			dpkg-deb -x "$package" "$dir/$image"
			rm "$package"
		done
		touch "$dir/$image/done"
	fi
	echo "$dir/$image"
}

# archive FROM TO: an initramfs
archive() {
	(cd "$1" && find . | cpio --quiet -o -H newc -R 0:0) >"$2"
}

# put ROOT FILE…: copies of them, at the same places
put() {
	local root=$1 file
	for file in "${@:2}"; do
		mkdir -p "$root$(dirname "$file")"
		cp -rL --preserve=mode "$file" "$root$file"
	done
}

# make_root ROOT: the disk of every machine: programs, their libraries, the tests
make_root() {
	local root=$1 package file files
	mkdir -p "$root"/{dev,proc,sys,tmp,run,root,etc,var/{lib,cache,tmp},usr/{bin,sbin,lib,lib64}}
	ln -s ../run "$root/var/run"
	for dir in bin sbin lib lib64; do
		ln -s "usr/$dir" "$root/$dir"
	done
	for package in "${PACKAGES[@]}"; do
		mapfile -t files < <(dpkg -L "$package" | grep -E '^/(usr/)?s?bin/.')
		put "$root" "${files[@]}"
	done
	put "$root" /usr/sbin/{iptables,ip6tables} /usr/lib/x86_64-linux-gnu/xtables \
		/etc/containers /usr/share/containers \
		/etc/{passwd,group,nsswitch.conf,protocols,services}
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	: >"$root/etc/resolv.conf"
	for file in "${programs[@]}"; do
		mkdir -p "$root$(dirname "$file")"
		strip -o "$root$file" "$file"
	done
	mapfile -t files < <(find "$root" -type f -perm /111 -exec ldd {} + 2>/dev/null |
		sed -nE 's|^\t(.* => )?(/[^ ]+) \(.*|\2|p' | sort -u)
	put "$root" "${files[@]}"
	cp scripts/guest.sh "$root/init"
}

# make_modules KERNEL_DIR ROOT: its modules, at their place
make_modules() {
	local from version to module
	from=$(find "$1" -type d -path '*/lib/modules/*' -name '[0-9]*' -prune -print -quit)
	version=${from##*/}
	to=$2/usr/lib/modules/$version
	for module in "${MODULES[@]}"; do
		mkdir -p "$to/${module%/*}"
		cp -r "$from/$module"* "$to/${module%/*}/" 2>/dev/null || true # built in, or not there
	done
	cp "$from"/modules.* "$to/" 2>/dev/null || true
	ln -s usr/lib "$2/lib"
	depmod -b "$2" "$version" 2>/dev/null
	rm "$2/lib"
}

# tests_of KERNEL: those that were asked for, else those that it is for
tests_of() {
	local tests=${TESTS:-$CAPTURE}
	[ -n "$TESTS" ] || [[ " $WAYS_ON " != *" $1 "* ]] || tests+=" $WAYS"
	echo "$tests"
}

# job KERNEL: what the machine does, for scripts/guest.sh to run
job() {
	local set test
	echo "export EGRETS_TEST_VOLUME=$VOLUME RUST_TEST_THREADS=2"
	for set in $SETS; do
		echo "echo 'guest: set $set'; export EGRETS_HOOKS=$set"
		printf '%q check --verbose || echo "guest: check failed"\n' "$egrets"
		for test in $(tests_of "$1"); do
			printf 'echo "guest: test %s"; %q --include-ignored %s\n' "$test" "${runners[$test]}" "$SKIP"
		done
	done
}

# boot KERNEL: runs the tests there; what it prints goes to $work/KERNEL.log, a line a
# test to stdout. An emulated machine may hang before it has done anything: it then
# gets another try.
boot() {
	local kernel=$1 dir try root=$work/$1 initrd=$work/$1.cpio
	dir=$(fetch "${SUITES[$kernel]}")
	mkdir "$root"
	make_modules "$dir" "$root"
	job "$kernel" >"$root/job"
	archive "$root" "$initrd.own"
	cat "$work/root.cpio" "$initrd.own" >"$initrd"
	for try in 1 2 3; do
		run "$kernel" "$(find "$dir" -name 'vmlinuz*' -print -quit)" "$initrd"
		! is_up "$kernel" || break
		echo "$kernel: not up after $BOOT s, try $try"
	done
	rm -rf "$root" "$initrd" "$initrd.own"
}

is_up() {
	grep -q '^guest: .* is up' "$work/$1.log"
}

# run KERNEL VMLINUZ INITRD: once
run() {
	local kernel=$1 pid=$work/$1.pid watch
	: >"$work/$kernel.log"
	(sleep $BOOT && ! is_up "$kernel" && kill "$(cat "$pid")") >/dev/null 2>&1 &
	watch=$!
	# One thread for both processors: with one each, QEMU 7.2 at times still runs a
	# breakpoint that the kernel, patching itself, has taken away (seen on 5.10 and 7.2:
	# a jump to 0, a panic). Without tsc each look at the clock goes through an emulated
	# timer.
	timeout "$LIMIT" qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp 2 -m 4G \
		-nodefaults -display none -serial stdio -no-reboot -pidfile "$pid" \
		-kernel "$2" -initrd "$3" \
		-append 'console=ttyS0 quiet loglevel=2 panic=-1 clocksource=tsc tsc=reliable apparmor=0 rdinit=/init' \
		</dev/null 2>&1 | sed -u 's/\r$//' | tee "$work/$kernel.log" | awk -v kernel="$kernel" '
			/^guest: set / { set = $3 }
			/^guest: test / { test = $3 }
			/^test .* \.\.\. [a-zA-Z]+/ { printf "%-4s  %-10s  %-6s  %-7s  %s\n", kernel, set, test, $4, $2; fflush() }
			/^(naming|coverage): / { sub(/: /, ": " kernel ", " set " | "); print; fflush() }' || true
	! jobs -pr | grep -qx $watch || kill $watch
}

# judge KERNEL: adds to passed and failed; says what is wrong with a machine
judge() {
	local log=$work/$1.log verdicts wanted
	while read -r n m; do
		passed=$((passed + n))
		failed=$((failed + m))
	done < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log")
	verdicts=$(grep -c '^test result: ' "$log" || true)
	wanted=$(($(wc -w <<<"$SETS") * $(tests_of "$1" | wc -w)))
	if [ "$verdicts" != "$wanted" ] || ! grep -q '^guest: done' "$log"; then
		failed=$((failed + 1))
		echo "== $1: the machine gave $verdicts of $wanted verdicts; the last it said:"
		tail -n 40 "$log"
	elif ! grep -q "^guest: ${1//./\\.}\..* is up" "$log"; then
		failed=$((failed + 1))
		echo "== $1: ${SUITES[$1]} has another kernel now: $(grep '^guest: .* is up' "$log")"
	elif grep '^guest: check failed\|^guest: the kernel complains' "$log"; then
		failed=$((failed + 1))
		echo "== $1: see above"
	fi
	# what libtest says of the failed ones
	awk '/^failures:$/ { on = 1 } /^test result/ { on = 0 } on' "$log" | sed "s/^/$1: /"
}

scripts/setup.sh root build test kernels
scripts/tools.sh
for kernel in $KERNELS; do
	[ -n "${SUITES[$kernel]:-}" ] || fail "there is no kernel $kernel here; known are $ALL"
done

built=$(scripts/cargo.sh test --no-run --message-format=json-render-diagnostics)
# executable KIND NAME TEST: of what cargo has built; TEST is whether it is a runner
executable() {
	sed -nE "s|.*\"kind\":\[\"$1\"\].*\"name\":\"$2\".*\"test\":$3},\"features\".*\"executable\":\"([^\"]*)\".*|\1|p" <<<"$built"
}
egrets=$(executable bin egrets false)
tools=$(realpath "${CARGO_TARGET_DIR:-target}/tmp") # where the tests look for them
programs=("$egrets" "$(executable example dial false)" "$(executable example ask false)"
	"$(executable example send false)" "$(executable example packet false)" "$tools/dial-musl" "$tools/nscd")
declare -A runners=()
for test in ${TESTS:-$CAPTURE $WAYS}; do
	runners[$test]=$(executable test "$test" true)
	[ -n "${runners[$test]}" ] || fail "there are no tests called $test"
	programs+=("${runners[$test]}")
done

work=$(mktemp -d)
end() {
	local pid
	for pid in "$work"/*.pid; do # QEMU's own, which it takes away when it ends
		[ ! -e "$pid" ] || kill "$(cat "$pid")" || true
	done
	wait
	rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM
mkdir "$work/root"
make_root "$work/root"
archive "$work/root" "$work/root.cpio"
rm -rf "$work/root"
for kernel in $KERNELS; do
	[ "$(jobs -pr | wc -l)" -lt $MACHINES ] || wait -n || true
	boot "$kernel" &
done
wait

passed=0 failed=0
for kernel in $KERNELS; do
	[ -e "$work/$kernel.log" ] || : >"$work/$kernel.log"
	judge "$kernel"
done
# the tables of docs/kernels.md, between its two marks
if [ "$failed" = 0 ] && [ "$KERNELS$TESTS" = "$ALL" ]; then
	logs=()
	for kernel in $KERNELS; do
		logs+=("$work/$kernel.log")
	done
	awk -f scripts/kernels.awk "${logs[@]}" >"$work/tables"
	scripts/page.sh docs/kernels.md "$work/tables"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
