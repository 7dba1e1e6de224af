#!/bin/bash
# The first process of a test machine (scripts/kernels.sh): sets the machine up,
# runs the tests with each hook set that this kernel has, and switches it off.
# /job says which: the runners, the hook sets and the environment.
export PATH=/usr/sbin:/usr/bin HOME=/root

if [ "${1:-}" != again ]; then
	# An initramfs can't be left by pivot_root, as containers do, and in a plain
	# chroot there are no user namespaces: a bind mount of it goes on top.
	mkdir -p /again
	mount --bind / /again
	cd /again || exit
	mount --move . /
	exec chroot . /init again
fi

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs shm /dev/shm
exec </dev/null >"/dev/$(</sys/class/tty/console/active)" 2>&1
ln -s /proc/self/fd /dev/fd
echo guest >/proc/sys/kernel/hostname
ip link set lo up
echo "guest: $(uname -r) is up"
[ ! -e /proc/sys/net/mptcp ] || echo "guest: has mptcp"

# share EGRETS: a recorder for all tests that need none of their own, tests/support/shared.rs
share() {
	export EGRETS_TEST_HISTORY=/tmp/shared/e.db
	rm -rf /tmp/shared
	# Ctrl-C, which background jobs ignore, is what stops it
	env --default-signal=INT "$1" record --db $EGRETS_TEST_HISTORY 2>/tmp/recorder &
	recorder=$!
	until grep -q 'recording into' /tmp/recorder; do
		kill -0 "$recorder" || break
		sleep 0.2
	done
}

# The end of that recorder, which is clean.
unshare_recorder() {
	unset EGRETS_TEST_HISTORY
	kill -INT "$recorder"
	wait "$recorder" && return
	echo "guest: the recorder ended with $?"
	cat /tmp/recorder
}

# shellcheck source=/dev/null
. /job
if dmesg | grep -E 'WARNING:|BUG:|Oops'; then
	echo "guest: the kernel complains"
fi
echo "guest: done"
sync
echo o >/proc/sysrq-trigger
sleep 60
