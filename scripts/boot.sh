#!/bin/bash
# Boots the system in a directory: its systemd is the first process of namespaces of its own, with loopback
# as its only network. Ends when that does; who kills this process kills all of the system.
#
#     scripts/boot.sh ROOT CGROUP    of an empty cgroup2 directory, which becomes the system's root of cgroups
#
# As root, from a mount namespace in which nothing it mounts matters.
set -euo pipefail

if [ "${1:-}" != inside ]; then
	echo $$ >"$2/cgroup.procs"
	exec unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup "$0" inside "$1"
fi

cd "$2"
mount --bind . .
cd "$2"
mount -t proc proc proc
# As in any container, what the kernel has once is not the system's to set.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tracefs -o ro tracefs sys/kernel/tracing
mount -t tmpfs tmpfs run
mount -t tmpfs dev dev
for node in null zero full random urandom tty; do
	touch dev/$node
	mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ip link set lo up
pivot_root . mnt
umount --lazy /mnt
exec env -i container=egrets PATH=/usr/sbin:/usr/bin /lib/systemd/systemd
