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
exec </dev/null >/dev/ttyS0 2>&1
ln -s /proc/self/fd /dev/fd
echo guest >/proc/sys/kernel/hostname
ip link set lo up
echo "guest: $(uname -r) is up"
[ ! -e /proc/sys/net/mptcp ] || echo "guest: has mptcp"

# shellcheck source=/dev/null
. /job
if dmesg | grep -E 'WARNING:|BUG:|Oops'; then
	echo "guest: the kernel complains"
fi
echo "guest: done"
sync
echo o >/proc/sysrq-trigger
sleep 60
