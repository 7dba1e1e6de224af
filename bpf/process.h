/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Fork, exec and exit. */
#ifndef EGRETS_PROCESS_H
#define EGRETS_PROCESS_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "connect_errno.h"
#include "egrets.h"
#include "maps.h"
#include "owner.h"
#include "ring.h"
#include "uapi.h"

#define EXE_STEPS 256 /* directories and mounts of an executable's path that are followed */
#define EXITED (~0ULL)

/* Inode number of the mount namespace of the host's first process; 0 if it is not known. */
const volatile __u32 host_mntns;

/* The pid of its session leader, the process that called setsid(2), such as a login shell. */
static __always_inline __u32 session_leader(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, pids[PIDTYPE_SID], numbers[0].nr);
}

/* Marks a fork or an exec as reported; false if it is already. */
static __always_inline bool mark_reported(struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct proc_state now = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
		.exec_id = BPF_CORE_READ(task, self_exec_id),
	};
	struct proc_state *state = bpf_map_lookup_elem(&processes, &tgid);

	if (state && state->start_ns == now.start_ns && state->exec_id >= now.exec_id)
		return false;
	bpf_map_update_elem(&processes, &tgid, &now, BPF_ANY);
	return true;
}

/* The same for an exit, also of a process that is older than egrets. */
static __always_inline bool mark_exit_reported(__u32 tgid, __u64 start_ns, __u32 copy)
{
	struct proc_state *state = bpf_map_lookup_elem(&processes, &tgid);
	struct proc_state exited = {.start_ns = start_ns, .exec_id = EXITED};

	if (!state || state->start_ns != start_ns) {
		if (copy < HOOK_COPIES - 1)
			bpf_map_update_elem(&processes, &tgid, &exited, BPF_ANY);
		return true;
	}
	bool is_new = state->exec_id != EXITED;

	state->exec_id = EXITED;
	if (copy == HOOK_COPIES - 1)
		bpf_map_delete_elem(&processes, &tgid);
	return is_new;
}

/*
 * The first process in a mount namespace wakes the reader: even if it lives for
 * milliseconds, userspace can read its /etc/hosts, and keeps that for those after it.
 */
static __always_inline bool is_new_namespace(__u64 mntns_id)
{
	__u8 one = 1;

	if (bpf_map_lookup_elem(&mount_namespaces, &mntns_id))
		return false;
	bpf_map_update_elem(&mount_namespaces, &mntns_id, &one, BPF_ANY);
	return true;
}

static __always_inline __u32 read_argv(struct egrets_exec *exec, struct mm_struct *mm)
{
	__u64 start = BPF_CORE_READ(mm, arg_start);
	__u64 len = BPF_CORE_READ(mm, arg_end) - start;

	exec->argv_total = len;
	if (len > EGRETS_ARGV_MAX)
		len = EGRETS_ARGV_MAX;
	barrier_var(len); /* keeps the bound on the register that the helper gets */
	if (len > EGRETS_ARGV_MAX)
		return 0;
	if (bpf_probe_read_user(exec->data, len, (void *)start))
		return 0;
	return len;
}

static __always_inline struct mount *mount_of(struct vfsmount *vfs)
{
	return (void *)vfs -
	       __builtin_preserve_field_info(((struct mount *)0)->mnt, BPF_FIELD_BYTE_OFFSET);
}

static __always_inline struct vfsmount *vfs_of(struct mount *mnt)
{
	return (void *)mnt +
	       __builtin_preserve_field_info(((struct mount *)0)->mnt, BPF_FIELD_BYTE_OFFSET);
}

/* The mount's own namespace, which a process can get a file from without being in it. */
static __always_inline __u8 exe_view(struct mount *mnt)
{
	struct mnt_namespace *ns = BPF_CORE_READ(mnt, mnt_ns);

	if (!ns)
		return EGRETS_EXE_DETACHED;
	if ((__u64)ns >= (__u64)-MAX_ERRNO) /* MNT_NS_INTERNAL, fs/mount.h */
		return EGRETS_EXE_MEMORY;
	if (host_mntns && BPF_CORE_READ(ns, ns.inum) == host_mntns)
		return EGRETS_EXE_HOST;
	return BPF_CORE_READ(ns, user_ns, level) ? EGRETS_EXE_USER : EGRETS_EXE_NAMESPACE;
}

/* Whether users other than root can write a file, or create others in a directory. */
static __always_inline bool is_shared(struct inode *inode)
{
	__u32 mode = BPF_CORE_READ(inode, i_mode);

	return BPF_CORE_READ(inode, i_uid.val) || (mode & (S_IWOTH | S_ISVTX)) == S_IWOTH;
}

static __always_inline void write_component(struct egrets_exec *exec, struct dentry *dentry)
{
	__u64 off = *(volatile __u32 *)&exec->argv_len + *(volatile __u32 *)&exec->exe_len;

	if (off >= EGRETS_ARGV_MAX + EGRETS_EXE_MAX)
		return;
	long n = bpf_probe_read_kernel_str(exec->data + off, NAME_MAX + 1,
					   BPF_CORE_READ(dentry, d_name.name));

	if (n > 0)
		exec->exe_len += n;
}

/* From the root of what is mounted to the directory that it is mounted on. False at the top. */
static __always_inline bool leave_mount(struct exec_scratch *s)
{
	struct egrets_exec *exec = (struct egrets_exec *)s->record;
	struct mount *mnt = mount_of(s->vfs);
	struct mount *above = BPF_CORE_READ(mnt, mnt_parent);

	if (mnt == above) {
		exec->exe_flags &= ~EGRETS_EXE_CUT;
		return false;
	}
	s->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
	s->vfs = vfs_of(above);
	return true;
}

/* From a file or directory, whose name is written, to the one that it is in. */
static __always_inline bool leave_directory(struct exec_scratch *s)
{
	struct egrets_exec *exec = (struct egrets_exec *)s->record;
	struct dentry *dentry = s->dentry;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	__u32 before = *(volatile __u32 *)&exec->exe_len;

	if (dentry == parent)
		return false; /* renamed out of the directory that is mounted */
	if (BPF_CORE_READ(dentry, d_name.len) > NAME_MAX)
		return false; /* FUSE allows them */
	write_component(exec, dentry);
	s->dentry = parent;
	return *(volatile __u32 *)&exec->exe_len != before;
}

/*
 * One step of read_path; 0 after the last one. A global function, verified once instead of
 * for each step: it finds everything in the buffer of this copy of the program.
 */
__noinline int step_up(__u32 copy)
{
	struct exec_scratch *s = bpf_map_lookup_elem(&exec_scratch, &copy);

	if (!s)
		return 0;
	struct egrets_exec *exec = (struct egrets_exec *)s->record;
	struct dentry *dentry = s->dentry;
	struct vfsmount *vfs = s->vfs;

	if (is_shared(BPF_CORE_READ(dentry, d_inode)))
		exec->exe_flags |= EGRETS_EXE_SHARED;
	if (dentry == BPF_CORE_READ(vfs, mnt_root))
		return leave_mount(s);
	return leave_directory(s);
}

/*
 * The executable's path from the root of the mount namespace that its mount is in: the output
 * of d_path() (fs/d_path.c), which programs of this type may not call, without its process'
 * root directory, which the process chooses. Components are written from the last to the
 * first.
 */
static __always_inline void read_path(struct egrets_exec *exec, __u32 copy)
{
	exec->exe_flags |= EGRETS_EXE_CUT;
	for (int i = 0; i < EXE_STEPS && step_up(copy); i++)
		;
}

static __always_inline void read_exe(struct exec_scratch *s, struct mm_struct *mm, __u32 copy)
{
	struct egrets_exec *exec = (struct egrets_exec *)s->record;
	struct file *file = BPF_CORE_READ(mm, exe_file);
	struct path at = BPF_CORE_READ(file, f_path);
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	exec->exe_ino = BPF_CORE_READ(inode, i_ino);
	exec->exe_dev = BPF_CORE_READ(inode, i_sb, s_dev);
	exec->exe_view = exe_view(mount_of(at.mnt));
	if (!BPF_CORE_READ(at.dentry, d_hash.pprev)) /* d_unhashed(), include/linux/dcache.h */
		exec->exe_flags |= EGRETS_EXE_DELETED;
	s->dentry = at.dentry;
	s->vfs = at.mnt;
	if (exec->exe_view == EGRETS_EXE_MEMORY)
		write_component(exec, at.dentry);
	else
		read_path(exec, copy);
}

static __always_inline void report_exec(struct task_struct *task, int old_pid, __u32 copy)
{
	struct exec_scratch *s = bpf_map_lookup_elem(&exec_scratch, &copy);

	if (!s || !mark_reported(task))
		return;
	/* a thread other than the leader takes the leader's pid, and never exits as itself */
	thread_exits((bpf_get_current_pid_tgid() & ~0xffffffffULL) | (__u32)old_pid);
	__u32 id = share_of_current();

	if (!has_ring_room(id)) {
		count_lost(EGRETS_EXEC); /* before the work for it */
		return;
	}
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct egrets_exec *exec = (struct egrets_exec *)s->record;

	__builtin_memset(exec, 0, sizeof(*exec));
	init_header(&exec->h, EGRETS_EXEC, id);
	fill_process(&exec->owner, task, true);
	exec->parent_tgid = BPF_CORE_READ(task, real_parent, tgid);
	exec->parent_start_ns = BPF_CORE_READ(task, real_parent, group_leader, start_boottime);
	exec->session = session_leader(task);
	exec->argv_len = read_argv(exec, mm);
	read_exe(s, mm, copy);

	__u64 size = sizeof(*exec) + exec->argv_len + exec->exe_len;

	if (size > sizeof(s->record))
		size = sizeof(s->record); /* never: for the verifier */
	__u64 flags = is_new_namespace(exec->owner.mntns_id) ? BPF_RB_FORCE_WAKEUP : wake_flags();

	take_ring_room(id, size);
	if (bpf_ringbuf_output(&events, s, size, flags)) {
		give_ring_room(id, size);
		count_lost(EGRETS_EXEC);
	}
}

static __always_inline void report_fork(struct task_struct *child)
{
	struct task_struct *creator = (struct task_struct *)bpf_get_current_task();
	const struct cred *cred = BPF_CORE_READ(child, cred);
	struct egrets_fork *fork;

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return; /* a thread */
	if (!mark_reported(child))
		return;
	fork = RESERVE(struct egrets_fork, EGRETS_FORK, share_of_current());
	if (!fork)
		return;
	fork->tgid = BPF_CORE_READ(child, tgid);
	fork->start_ns = BPF_CORE_READ(child, start_boottime);
	fork->parent_tgid = BPF_CORE_READ(child, real_parent, tgid);
	fork->parent_start_ns = BPF_CORE_READ(child, real_parent, group_leader, start_boottime);
	fork->creator_tgid = BPF_CORE_READ(creator, tgid);
	fork->creator_start_ns = BPF_CORE_READ(creator, group_leader, start_boottime);
	fork->session = session_leader(child);
	fork->uid = BPF_CORE_READ(cred, uid.val);
	submit(fork);
}

static __always_inline void report_exit(struct task_struct *task, __u32 copy)
{
	struct egrets_exit *exit;

	thread_exits(bpf_get_current_pid_tgid());
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return; /* not the last thread */
	__u32 tgid = BPF_CORE_READ(task, tgid);
	__u64 start_ns = BPF_CORE_READ(task, group_leader, start_boottime);

	if (!mark_exit_reported(tgid, start_ns, copy))
		return;
	exit = RESERVE(struct egrets_exit, EGRETS_EXIT, share_of_current());
	if (!exit)
		return;
	exit->tgid = tgid;
	exit->start_ns = start_ns;
	submit(exit);
}

#endif
