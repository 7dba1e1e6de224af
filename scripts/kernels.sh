#!/bin/bash
# Runs tests of capture on the kernels that egrets supports, each in a virtual machine of
# its own, with both hook sets:
#
#     make test-kernels         every hook, and a scenario for each promise: for each change
#     make test-all-kernels     all tests of capture: before a change to bpf/ or src/capture
#                               is done, and for a release
#     make test-kernels KERNELS="5.10 6.1" TESTS="record hooks" [VOLUME=1] [SETS=kprobe]
#     make test-arm64           every hook, and those tests that all kernels pass, on arm64
#     make test-arm64 RELEASE=target/release-0.1.0
#                               the .deb, the archive and the program of a release as well, installed there
#     make bench-peers          what egrets and the tools of others cost, on a kernel that has their hooks
#     scripts/kernels.sh fetch  only download the kernels
#
# A kernel is the newest of its Debian suite, looked for once a day and kept in
# $EGRETS_KERNELS. The machine is QEMU, with KVM where that works. Its whole disk
# is an initramfs: this machine's programs, and the tests as they were built here, which
# scripts/guest.sh runs. With ARCH=arm64 the tests are built by scripts/cross.sh, and the programs
# are from Debian's packages for that architecture. What they print comes back over the serial line. A machine that
# dies, hangs or gives no verdict has failed. Where all tests pass on all kernels,
# docs/kernels.md gets what was seen.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
# shellcheck source=scripts/apt.sh
. scripts/apt.sh

ARCH=${ARCH:-amd64}
declare -A SUITES=([5.10]=bullseye [6.1]=bookworm [6.12]=trixie [7]=sid)
ALL='5.10 6.1 6.12 7'
[ "$ARCH" = amd64 ] || KERNELS=${KERNELS:-6.12} # emulated without KVM: one is enough
[ "${1:-}" != peers ] || KERNELS=${KERNELS:-6.1} # that of the suite whose packages the tools are
KERNELS=${KERNELS:-$ALL}
# All tests of capture. The sets differ in how they learn of connect(2) and of frames that bypass
# queues, so the second runs what sees these.
# shellcheck disable=SC2034 # tests_of reads these by their names
CAPTURE_kprobe='hooks record dns loss protocols policy policy_names policy_pin'
# shellcheck disable=SC2034
CAPTURE_tracepoint='hooks record protocols'
# The kernels hardly differ in these: two are enough.
# shellcheck disable=SC2034
WAYS_kprobe='coverage shapes stale_entries docker clock'
# shellcheck disable=SC2034
WAYS_tracepoint='coverage'
WAYS_ON='5.10 6.12'
# Naming depends on the kernel even less: on one, with one set.
NAMES='naming forged resolvers sources sent_names'
NAMES_ON='6.12 kprobe'
# What every change has to pass: 'TOPIC TEST…'. All kernels load and attach every hook of both
# sets and pass PROMISES; the oldest or the newest passes the rest, a scenario for each promise:
# kernels between them have hardly ever differed from both, and what differs between these two is
# in PROMISES, or is found by the whole matrix.
# shellcheck disable=SC2034 # tests_of reads these by their names
PROMISES_kprobe=(
	'hooks every_attempt_has_the_outcome_and_errno_that_its_process_saw'
	'record a_and_aaaa_lookups_of_one_socket_are_stored_and_name_ipv6
		a_thousand_concurrent_processes_each_get_their_own_name
		what_the_own_firewall_refuses_is_denied'
	'protocols associations_have_an_outcome_and_count_payload_only
		frames_are_exact_and_attributed_with_the_destination_of_their_packet'
	'coverage tcp_bytes_of_every_system_call_are_exact_and_match_the_firewall
		udp_bytes_of_every_system_call_are_exact_and_match_the_firewall'
	'policy_names connection_right_behind_the_answer_is_decided_by_its_name'
	'policy server_names::name_that_a_connection_says_decides_and_one_that_should_and_says_none_is_refused'
)
OLDEST=5.10
# What hangs on helpers that the oldest lacks, and what is slow where all is slow.
# shellcheck disable=SC2034
OLDEST_kprobe=(
	'record child_connection_is_named_by_its_parents_lookup
		exec_separates_two_programs_of_one_pid
		replies_of_a_udp_server_are_marked_and_counted
		first_hop_of_a_source_route_is_part_of_the_row
		flow_belongs_to_the_user_who_named_its_destination
		recorder_keeps_only_what_reading_proc_takes'
	'loss captured_and_lost_events_add_up'
	'sent_names client_hello_in_pieces_names_and_a_hostile_one_does_not
		http2_without_tls_and_socks_say_whom_they_want dtls_flow_has_the_name_that_it_asks_for'
	'protocols peer_causes_a_record_for_each_association_that_is_requested_and_no_more
		chunks_with_a_wrong_verification_tag_open_and_end_no_association'
	'stale_entries flows_that_threads_begin_at_once_on_one_socket_all_end_with_it'
	'policy what_a_policy_blocks_is_refused_by_every_way_and_recorded_as_denied
		observed_verdicts_are_those_of_the_reference_evaluator'
)
NEWEST=7
# What hangs on structures and functions of the kernel, which change.
# shellcheck disable=SC2034
NEWEST_kprobe=(
	'dns every_record_type_is_stored_in_presentation_form large_answer_is_stored_completely
		messages_that_share_a_packet_are_parsed_separately'
	'protocols udplite_is_exact_and_attributed pings_and_raw_packets_are_exact_and_attributed
		af_xdp_copy_mode_frames_are_seen_by_the_kprobe_set
		inherited_or_passed_socket_keeps_its_first_owner_and_shows_the_other
		raw_socket_older_than_the_recorder_has_an_owner'
	'coverage kernel_tls_bytes_are_counted_as_the_application_sees_them
		merged_and_fragmented_datagrams_are_counted_one_by_one'
	'sent_names client_hello_in_pieces_names_and_a_hostile_one_does_not'
	'shapes burst_over_many_sockets_has_exact_bytes_per_socket
		slow_drip_is_stored_while_it_runs_and_completely_at_its_end
		container_traffic_is_exact_and_attributed_to_it'
)
# shellcheck disable=SC2034
PROMISES_tracepoint=()
# shellcheck disable=SC2034
OLDEST_tracepoint=(
	'hooks every_attempt_has_the_outcome_and_errno_that_its_process_saw'
)
# shellcheck disable=SC2034
NEWEST_tracepoint=(
	'hooks every_attempt_has_the_outcome_and_errno_that_its_process_saw'
	'protocols frames_are_exact_and_attributed_with_the_destination_of_their_packet
		af_xdp_copy_mode_frames_are_seen_by_the_kprobe_set'
)
TESTS=${TESTS:-}
TIER=${1:-${TESTS:+all}} # 'all', 'fetch', 'peers', or nothing
RELEASE=${RELEASE:-}
SETS=${SETS:-kprobe tracepoint}
# Docker's daemon decides these, not the kernel; one needs other cgroups, the last two
# Python.
SKIP=${SKIP---skip hanging_daemon --skip stopped_daemon --skip docker_dns_names --skip image_records --skip on_cgroup_v1 --skip quic_flow --skip metrics_file}
VOLUME=${VOLUME:-$([ "$TIER" = all ] && echo 0.3 || echo 0.1)} # of the load tests: emulation is slow
CACHE=${EGRETS_KERNELS:-/var/cache/egrets-kernels}
LIMIT=3600   # seconds that a machine may take
BOOT=150     # and until it is up
MACHINES=2   # at a time
# of the packages that the tests use, those whose programs go into the machine
PACKAGES=(bash coreutils dash grep sed procps util-linux mount kmod tar libc-bin
	curl dnsmasq-base bind9-dnsutils bind9-host sqlite3 iproute2 iptables nftables
	busybox-static netcat-openbsd libcap2-bin aria2 openssl bsdutils)
# two thirds of the disk, which takes its time to unpack
[ "$TIER" != all ] || PACKAGES+=(docker.io containerd runc podman conmon)
[ "$TIER" != peers ] || PACKAGES+=(libbpf-tools bpftrace)
# what installs them
[ -z "$RELEASE" ] || PACKAGES+=(dpkg diffutils gzip findutils)
# modules that the tests want: the rest would only take time to unpack
MODULES=(kernel/net kernel/lib kernel/crypto kernel/fs/overlayfs
	kernel/drivers/net/veth.ko kernel/drivers/net/dummy.ko)

# What differs with the architecture: its machine, as QEMU has it, and the kernel's console; and the
# suffix of its packages' names.
case $ARCH in
amd64)
	MACHINE=(qemu-system-x86_64 -cpu max)
	CONSOLE='console=ttyS0 clocksource=tsc tsc=reliable'
	# One thread for both processors: with one each, QEMU 7.2 at times still runs a breakpoint that
	# the kernel, patching itself, has taken away (seen on 5.10 and 7.2: a jump to 0, a panic).
	EMULATOR=tcg,thread=single
	MODULES+=(kernel/arch/x86/crypto)
	OF=
	;;
arm64)
	MACHINE=(qemu-system-aarch64 -machine virt -cpu cortex-a72)
	CONSOLE=console=ttyAMA0
	EMULATOR=tcg,thread=multi
	MODULES+=(kernel/arch/arm64/crypto)
	OF=:arm64
	;;
*)
	echo "kernels.sh: ARCH: amd64 or arm64, not $ARCH" >&2
	exit 2
	;;
esac

fail() {
	echo "kernels.sh: $*" >&2
	exit 2
}
machine=$(ARCH=$ARCH scripts/machine.sh)
[ -z "$RELEASE" ] || [ -e "$RELEASE/egrets-$machine" ] || fail "RELEASE: there is no $RELEASE/egrets-$machine"

# fetch SUITE: the newest kernel that it has, unpacked in $CACHE/SUITE/KERNEL;
# prints that directory
fetch() {
	local suite=$1 dir=$CACHE/$1${OF/:/-} image packages
	apt_lists "$dir" "$suite" "${OF#:}" || exit
	image=$(apt_of "$dir" apt-cache depends --important "linux-image-$ARCH$OF" | grep -om 1 'linux-image-[0-9][^:]*') ||
		fail "$suite has no linux-image-$ARCH"
	if [ ! -e "$dir/$image/done" ]; then
		# sid keeps the kernel and its modules in packages of their own
		mapfile -t packages < <(apt_of "$dir" apt-cache depends --important "$image$OF" |
			grep -oE 'linux-(binary|modules)-[0-9].*')
		rm -rf "${dir:?}"/linux-image-*
		apt_unpack "$dir" "$dir/$image" "$image$OF" "${packages[@]}" || exit
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

# put_packages ROOT: those programs, with all that they depend on, of another architecture
put_packages() {
	local root=$1 dir=$CACHE/programs-$ARCH suite names
	# shellcheck source=/dev/null
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
	apt_lists "$dir" "$suite" "$ARCH" || exit
	if [ "$(cat "$dir/done" 2>/dev/null)" != "$suite ${PACKAGES[*]}" ]; then
		rm -rf "$dir/root"
		# of a system where nothing is installed yet
		mapfile -t names < <(apt_of "$dir" apt-get -o Dir::State::status=/dev/null -o "APT::Architecture=$ARCH" \
			--no-install-recommends --simulate install "${PACKAGES[@]/%/$OF}" | sed -n "s/^Inst \([^ :]*\).*\[all\].*/\1/p; t; s/^Inst \([^ :]*\).*/\1$OF/p")
		[ ${#names[@]} -gt 0 ] || fail "$suite has not all of these for $ARCH: ${PACKAGES[*]}"
		apt_unpack "$dir" "$dir/root" "${names[@]}" || exit
		rm -rf "$dir"/root/usr/share/{doc,man,locale,info,perl*} "$dir"/root/{boot,var}
		echo "$suite ${PACKAGES[*]}" >"$dir/done"
	fi
	(cd "$dir/root" && find . ! -type d -print0 | cpio --quiet -0 -o -H newc) |
		(cd "$root" && cpio --quiet -i -d)
	# Debian's alternatives, which are chosen when a package is installed
	ln -s xtables-nft-multi "$root/usr/sbin/iptables"
	ln -s xtables-nft-multi "$root/usr/sbin/ip6tables"
}

# make_root ROOT: the disk of every machine: programs, their libraries, the tests
make_root() {
	local root=$1 package file files
	mkdir -p "$root"/{dev,proc,sys,tmp,run,root,etc,var/{lib,cache,tmp},usr/{bin,sbin,lib,lib64}}
	ln -s ../run "$root/var/run"
	for dir in bin sbin lib lib64; do
		ln -s "usr/$dir" "$root/$dir"
	done
	if [ "$ARCH" = amd64 ]; then
		for package in "${PACKAGES[@]}"; do
			mapfile -t files < <(dpkg -L "$package" | grep -E '^/(usr/)?s?bin/.')
			put "$root" "${files[@]}"
		done
		put "$root" /usr/sbin/{iptables,ip6tables} /usr/lib/x86_64-linux-gnu/xtables \
			/etc/containers /usr/share/containers /usr/lib/ssl/openssl.cnf
	else
		put_packages "$root"
	fi
	if [ "$TIER" = peers ]; then # what bpftrace compiles with
		mapfile -t files < <(dpkg -L libc6-dev linux-libc-dev | grep '^/usr/include/.*\.h$')
		put "$root" "${files[@]}"
	fi
	put "$root" /etc/{passwd,group,nsswitch.conf,protocols,services}
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	: >"$root/etc/resolv.conf"
	for file in "${programs[@]}"; do
		mkdir -p "$root$(dirname "$file")"
		"$strip" -o "$root$file" "$file"
	done
	# on arm64, programs of packages have theirs, and the tests are linked statically
	[ "$ARCH" != amd64 ] || mapfile -t files < <(find "$root" -type f -perm /111 -exec ldd {} + 2>/dev/null |
		sed -nE 's|^\t(.* => )?(/[^ ]+) \(.*|\2|p' | sort -u)
	[ "$ARCH" != amd64 ] || put "$root" "${files[@]}"
	cp scripts/guest.sh "$root/init"
	cp scripts/topic.sh "$root/"
	if [ -n "$RELEASE" ]; then
		mkdir "$root/release"
		cp "$RELEASE"/egrets_*_"$ARCH.deb" "$RELEASE"/egrets-*-linux-"$machine".tar.gz "$root/release/"
		cp "$RELEASE/egrets-$machine" "$root/release/egrets"
		cp scripts/guest-packages.sh "$root/packages.sh"
	fi
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

# tests_of KERNEL SET: lines 'TOPIC TEST…', or none; a topic alone is all of its tests
tests_of() {
	local tests
	local -n promises=PROMISES_$2 oldest=OLDEST_$2 newest=NEWEST_$2 capture=CAPTURE_$2 ways=WAYS_$2
	local -a chosen
	if [ "$TIER" != all ]; then
		chosen=("${promises[@]}")
		[ "$ARCH" = amd64 ] || set -- none # what differs with the kernel does not with the architecture
		[ "$1" != "$OLDEST" ] || chosen+=("${oldest[@]}")
		[ "$1" != "$NEWEST" ] || chosen+=("${newest[@]}")
		[ ${#chosen[@]} = 0 ] || printf '%s\n' "${chosen[@]//[$'\n\t']/ }"
	elif [ -n "$TESTS" ]; then
		tr ' ' '\n' <<<"$TESTS"
	else
		tests=$capture
		[[ " $WAYS_ON " != *" $1 "* ]] || tests+=" $ways"
		[ "$NAMES_ON" != "$1 $2" ] || tests+=" $NAMES"
		tr ' ' '\n' <<<"$tests"
	fi
}

# longest_first: the kernels, those with the most topics and tests before the others
longest_first() {
	local kernel set
	for kernel in $KERNELS; do
		echo "$(for set in $SETS; do tests_of "$kernel" "$set"; done | wc -w) $kernel"
	done | sort -rn | cut -d ' ' -f 2
}

# job KERNEL: what the machine does, for scripts/guest.sh to run
job() {
	local set test names tests chosen
	if [ "$TIER" = peers ]; then
		printf 'OPERATIONS=%q ROUNDS=%q %q --peers; echo "guest: rc $?"\n' "${OPERATIONS:-500}" "${ROUNDS:-11}" "$bench"
		return
	fi
	echo "export EGRETS_TEST_VOLUME=$VOLUME EGRETS_TEST_DRIP=${EGRETS_TEST_DRIP:-16} RUST_TEST_THREADS=2"
	for set in $SETS; do
		echo "echo 'guest: set $set'; export EGRETS_HOOKS=$set"
		printf '%q check --verbose || echo "guest: check failed"\n' "$egrets"
		tests=$(tests_of "$1" "$set")
		[ -n "$tests" ] || continue
		[ "$TIER" = all ] || printf 'share %q\n' "$egrets"
		while read -r test names; do
			# shellcheck disable=SC2086 # names
			[ -z "$names" ] && chosen=$test:: || chosen="--exact $(printf "$test::%s " $names)"
			printf 'echo "guest: test %s"; /topic.sh %q --include-ignored %s %s\n' "$test" "$runner" "$chosen" "$SKIP"
		done <<<"$tests"
		[ "$TIER" = all ] || echo unshare_recorder
	done
	[ -z "$RELEASE" ] || echo 'unset EGRETS_HOOKS; echo "guest: test packages"; /packages.sh'
}

# boot KERNEL: runs the tests there; what it prints goes to $work/KERNEL.log, a line a
# test to stdout. An emulated machine may hang before it has done anything: it then
# gets another try.
boot() {
	local kernel=$1 dir try image accel root=$work/$1 initrd=$work/$1.cpio
	dir=$(fetch "${SUITES[$kernel]}")
	mkdir "$root"
	make_modules "$dir" "$root"
	job "$kernel" >"$root/job"
	archive "$root" "$initrd.own"
	cat "$work/root.cpio" "$initrd.own" >"$initrd"
	image=$(find "$dir" -name 'vmlinuz*' -print -quit)
	accel=$(accelerator "$image")
	for try in 1 2 3; do
		run "$kernel" "$image" "$initrd" "$accel"
		! is_up "$kernel" || break
		echo "$kernel: not up after $BOOT s, try $try"
	done
	rm -rf "$root" "$initrd" "$initrd.own"
}

is_up() {
	grep -q '^guest: .* is up' "$work/$1.log"
}

# accelerator VMLINUZ: KVM if this kernel comes as far as looking for its root there. In a
# virtual machine /dev/kvm may be there and not work.
accelerator() {
	if [ "$ARCH" = "$(dpkg --print-architecture)" ] && [ -w /dev/kvm ] &&
		timeout 20 "${MACHINE[@]}" -accel kvm -smp 2 -m 1G -nodefaults \
		-display none -serial stdio -no-reboot -kernel "$1" -append "$CONSOLE panic=-1" \
		</dev/null 2>/dev/null | grep -q 'Unable to mount root'; then
		echo kvm
	else
		echo "$EMULATOR"
	fi
}

# run KERNEL VMLINUZ INITRD ACCELERATOR: once
run() {
	local kernel=$1 pid=$work/$1.pid watch
	: >"$work/$kernel.log"
	(sleep $BOOT && ! is_up "$kernel" && kill "$(cat "$pid")") >/dev/null 2>&1 &
	watch=$!
	# Without tsc each look at the clock goes through an emulated timer.
	timeout "$LIMIT" "${MACHINE[@]}" -accel "$4" -smp 2 -m 4G \
		-nodefaults -display none -serial stdio -no-reboot -pidfile "$pid" \
		-kernel "$2" -initrd "$3" \
		-append "$CONSOLE quiet loglevel=2 panic=-1 apparmor=0 rdinit=/init" \
		</dev/null 2>&1 | sed -u 's/\r$//' | tee "$work/$kernel.log" | awk -v kernel="$kernel" '
			/^guest: set / { set = $3 }
			/^guest: test / { test = $3 }
			/^test .* \.\.\. [a-zA-Z]+/ { sub(/.*::/, "", $2); printf "%-4s  %-10s  %-6s  %-7s  %s\n", kernel, set, test, $4, $2; fflush() }
			/^(naming|coverage): / { sub(/: /, ": " kernel ", " set " | "); print; fflush() }' || true
	! jobs -pr | grep -qx $watch || kill $watch
}

# judge KERNEL: adds to passed and failed; says what is wrong with a machine
judge() {
	local log=$work/$1.log set tests verdicts flaky wanted=0
	for set in $SETS; do
		tests=$(tests_of "$1" "$set")
		wanted=$((wanted + $(grep -c . <<<"$tests" || true)))
	done
	[ -z "$RELEASE" ] || wanted=$((wanted + 1))
	while read -r n m; do
		passed=$((passed + n))
		failed=$((failed + m))
	done < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log")
	flaky=$(grep -c '^flaky: ' "$log" || true)
	passed=$((passed + flaky))
	failed=$((failed - flaky))
	verdicts=$(grep -c '^test result: ' "$log" || true)
	if [ "$verdicts" != "$wanted" ] || ! grep -q '^guest: done' "$log"; then
		failed=$((failed + 1))
		echo "== $1: the machine gave $verdicts of $wanted verdicts; its last lines:"
		tail -n 40 "$log"
	elif ! grep -q "^guest: ${1//./\\.}\..* is up" "$log"; then
		failed=$((failed + 1))
		echo "== $1: ${SUITES[$1]} has another kernel now: $(grep '^guest: .* is up' "$log")"
	elif grep '^guest: check failed\|^guest: the recorder\|^guest: the kernel complains' "$log"; then
		failed=$((failed + 1))
		echo "== $1: see above"
	fi
	unattached "$1" "$log"
	# what libtest says of the failed ones
	sed -n "s/^flaky: /$1: &/p" "$log"
	awk '/^failures:$/ { on = 1 } /^test result/ { on = 0 } on' "$log" | sed "s/^/$1: /"
}

# unattached KERNEL LOG: a hook that is missing is a failure, but for sock_send_length,
# which is new in Linux 6.4; a program that needs half of what the verifier allows too
unattached() {
	local hooks
	hooks=$(awk -v kernel="$1" '
		/^guest: test / { on = 0 }
		/^guest: set / { on = 1 }
		on && $1 == "missing" && !($2 == "tp_btf/sock_send_length" && kernel ~ /^(5[.]|6[.]1$)/)
		on && $1 == "ok" && $2 ~ /[/]/ && $5 + 0 >= 500000' "$2" | sort -u)
	[ -n "$hooks" ] || return 0
	failed=$((failed + 1))
	echo "== $1: these hooks are missing or too large:"
	echo "$hooks"
}

for kernel in $KERNELS; do
	[ -n "${SUITES[$kernel]:-}" ] || fail "there is no kernel $kernel here; known are $ALL"
done
if [ "$TIER" = fetch ]; then
	for kernel in $KERNELS; do
		fetch "${SUITES[$kernel]}"
	done
	exit
fi
parts=(root build test kernels)
# not bcc: emulated, it compiles for minutes whenever it starts, with the kernel's headers
[ "$TIER" != peers ] || parts+=(peers)
[ "$ARCH" = amd64 ] || parts+=(emulator)
scripts/setup.sh "${parts[@]}"
scripts/tools.sh

options=() execute=() strip=strip
if [ "$ARCH" != amd64 ]; then
	environment=$(scripts/cross.sh "$ARCH")
	eval "$environment"
	options=(--target aarch64-unknown-linux-gnu --features static)
	execute=(qemu-aarch64-static)
	strip=aarch64-linux-gnu-strip
fi
tools=$(realpath "${CARGO_TARGET_DIR:-target}/tmp") # where the tests look for them
if [ "$TIER" = peers ]; then
	built=$(scripts/cargo.sh bench --no-run --bench cost --message-format=json-render-diagnostics)
	bench=$(sed -n 's/.*"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p' <<<"$built")
	programs=("$bench" "$(realpath "${CARGO_TARGET_DIR:-target}/release/egrets")")
else
	built=$(scripts/cargo.sh test --no-run "${options[@]}" --message-format=json-render-diagnostics)
	# executable KIND NAME TEST: of what cargo has built; TEST is whether it is a runner
	executable() {
		sed -nE "s|.*\"kind\":\[\"$1\"\].*\"name\":\"$2\".*\"test\":$3},\"features\".*\"executable\":\"([^\"]*)\".*|\1|p" <<<"$built"
	}
	egrets=$(executable bin egrets false)
	programs=("$egrets" "$(executable example dial false)" "$(executable example ask false)"
		"$(executable example send false)" "$(executable example packet false)")
	[ "$ARCH" != amd64 ] || programs+=("$tools/dial-musl" "$tools/nscd")
	runner=$(executable test integration true)
	programs+=("$runner")
	known=$("${execute[@]}" "$runner" --list --format terse)
	tests=$(for kernel in $KERNELS; do for set in $SETS; do tests_of "$kernel" "$set"; done; done | sort -u)
	while read -r test names; do
		[ -n "$test" ] || continue # one set that is only attached
		grep -q "^$test::" <<<"$known" || fail "there are no tests called $test"
		for name in $names; do
			grep -qx "$test::$name: test" <<<"$known" || fail "$test has no test $name"
		done
	done <<<"$tests"
fi

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
# Those with the most to do first, so that no processor waits for them at the end.
for kernel in $(longest_first); do
	[ "$(jobs -pr | wc -l)" -lt $MACHINES ] || wait -n || true
	boot "$kernel" &
done
wait

if [ "$TIER" = peers ]; then
	for kernel in $KERNELS; do
		sed -n '/^guest: .* is up/,/^guest: rc/p' "$work/$kernel.log"
		grep -q '^guest: rc 0' "$work/$kernel.log" || fail "$kernel: see above"
	done
	exit
fi
passed=0 failed=0
for kernel in $KERNELS; do
	[ -e "$work/$kernel.log" ] || : >"$work/$kernel.log"
	judge "$kernel"
	# scripts/tables.sh reads the logs of whole runs
	[ "$TIER$TESTS$ARCH" != allamd64 ] || install -D -m 644 "$work/$kernel.log" "$tools/logs/kernel-$kernel.log"
done
# the tables of docs/kernels.md, between its two marks
if [ "$failed" = 0 ] && [ "$TIER$KERNELS$TESTS$ARCH" = "all${ALL}amd64" ]; then
	logs=()
	for kernel in $KERNELS; do
		logs+=("$work/$kernel.log")
	done
	awk -f scripts/kernels.awk "${logs[@]}" >"$work/tables"
	scripts/page.sh docs/kernels.md "$work/tables"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
