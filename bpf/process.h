/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who runs: the owner of what happens now, and what exec, fork and exit tell. */
#ifndef EGRETS_PROCESS_H
#define EGRETS_PROCESS_H

#define EXE_DEPTH 64 /* directories of an executable's path that are followed */
#define NAME_LEN 256 /* NAME_MAX and its NUL, include/uapi/linux/limits.h */

/* egrets itself: its own traffic is not reported. */
const volatile __u32 self_tgid;

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

/* Until 6.17 a mount namespace had its number in a field of its own. */
struct mnt_namespace___before_6_18 {
	__u64 seq;
};

static __always_inline void fill_mount_namespace(struct egrets_owner *owner,
						 struct task_struct *task)
{
	struct mnt_namespace *ns = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct mnt_namespace___before_6_18 *old = (void *)ns;

	owner->mntns = BPF_CORE_READ(ns, ns.inum);
	if (bpf_core_field_exists(old->seq))
		owner->mntns_id = BPF_CORE_READ(old, seq);
	else
		owner->mntns_id = BPF_CORE_READ(ns, ns.ns_id);
}

/* Who had logged in, whatever user the process has become since: audit's loginuid. */
static __always_inline __u32 login_uid(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->loginuid))
		return EGRETS_NO_LOGIN;
	return BPF_CORE_READ(task, loginuid.val);
}

/* The leader of its session: what setsid(2) made one, such as a login shell. */
static __always_inline __u32 session_leader(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, pids[PIDTYPE_SID], numbers[0].nr);
}

/* All but the network namespace, which is the socket's. */
static __always_inline void fill_owner(struct egrets_owner *owner)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u64 id = bpf_get_current_pid_tgid();

	owner->tgid = id >> 32;
	owner->tid = (__u32)id;
	owner->uid = (__u32)bpf_get_current_uid_gid();
	owner->start_ns = BPF_CORE_READ(leader, start_boottime);
	owner->exec_id = BPF_CORE_READ(leader, self_exec_id);
	owner->cgroup_id = bpf_get_current_cgroup_id();
	owner->login_uid = login_uid(task);
	fill_mount_namespace(owner, task);
	bpf_probe_read_kernel_str(owner->comm, sizeof(owner->comm), leader->comm);
}

/*
 * The mount namespaces that were told of. A process of milliseconds in a new one has
 * its /etc/hosts read while it lives, and those after it find that remembered.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} mount_namespaces SEC(".maps");

static __always_inline bool is_new_namespace(__u64 mntns_id)
{
	__u8 one = 1;

	if (bpf_map_lookup_elem(&mount_namespaces, &mntns_id))
		return false;
	bpf_map_update_elem(&mount_namespaces, &mntns_id, &one, BPF_ANY);
	return true;
}

#define COPIES 3 /* programs of the hooks on fork, exec and exit */

/*
 * What was told of each process, by pid: so that of a hook's copies only one tells.
 * The last one takes the entry away at the exit; where it was skipped, the entry
 * stays until the pid is used again.
 */
#define EXITED (~0ULL)

struct told {
	__u64 start_ns;
	__u64 exec_id; /* task_struct.self_exec_id, which counts its execs */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* tgid */
	__type(value, struct told);
} processes SEC(".maps");

/* Whether a fork or an exec was told, which it is now. */
static __always_inline bool is_told(struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct told now = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
		.exec_id = BPF_CORE_READ(task, self_exec_id),
	};
	struct told *told = bpf_map_lookup_elem(&processes, &tgid);

	if (told && told->start_ns == now.start_ns && told->exec_id >= now.exec_id)
		return true;
	bpf_map_update_elem(&processes, &tgid, &now, BPF_ANY);
	return false;
}

/* Whether an exit was told. Of a process older than egrets every copy tells. */
static __always_inline bool exit_is_told(__u32 tgid, __u64 start_ns, __u32 copy)
{
	struct told *told = bpf_map_lookup_elem(&processes, &tgid);

	if (!told || told->start_ns != start_ns)
		return false;
	bool before = told->exec_id == EXITED;

	told->exec_id = EXITED;
	if (copy == COPIES - 1)
		bpf_map_delete_elem(&processes, &tgid);
	return before;
}

/*
 * An exec's record is built here: its size is known only when it is written,
 * which bpf_ringbuf_reserve does not take before dynptrs (5.19). A program is not
 * entered twice on one CPU (preemption is off, later bpf_prog->active), so each copy
 * needs one buffer a CPU.
 */
struct exec_scratch {
	__u8 record[sizeof(struct egrets_exec) + EGRETS_ARGV_MAX + EGRETS_EXE_MAX + NAME_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COPIES);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

static __always_inline __u32 read_argv(struct egrets_exec *exec, struct mm_struct *mm)
{
	__u64 start = BPF_CORE_READ(mm, arg_start);
	__u64 len = BPF_CORE_READ(mm, arg_end) - start;

	exec->argv_total = len;
	if (len > EGRETS_ARGV_MAX)
		len = EGRETS_ARGV_MAX;
	barrier_var(len); /* so that the bound is on the register the helper gets */
	if (len > EGRETS_ARGV_MAX)
		return 0;
	if (bpf_probe_read_user(exec->data, len, (void *)start))
		return 0;
	return len;
}

/*
 * The executable's path as its own process sees it, up to that process' root
 * directory: what d_path() (fs/d_path.c) prints, which is refused here. Its
 * names are written from the last to the first. The length is kept in the map's
 * memory, which the verifier does not follow: each turn of the loop looks like
 * the one before, where a register's growing range would make it try them all.
 */
static __always_inline void read_exe(struct egrets_exec *exec, struct task_struct *task,
				     struct mm_struct *mm)
{
	struct path at = BPF_CORE_READ(mm, exe_file, f_path);
	struct path root = BPF_CORE_READ(task, fs, root);
	struct vfsmount *vfs = at.mnt;
	struct dentry *dentry = at.dentry;

	for (int i = 0; i < EXE_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (dentry == root.dentry && vfs == root.mnt)
			break;
		if (dentry == parent || dentry == BPF_CORE_READ(vfs, mnt_root)) {
			struct mount *mnt = (void *)vfs -
					    __builtin_preserve_field_info(((struct mount *)0)->mnt,
									  BPF_FIELD_BYTE_OFFSET);
			struct mount *above = BPF_CORE_READ(mnt, mnt_parent);

			if (mnt == above)
				break;
			dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
			vfs = (void *)above +
			      __builtin_preserve_field_info(((struct mount *)0)->mnt,
							    BPF_FIELD_BYTE_OFFSET);
			continue;
		}
		__u64 off = *(volatile __u32 *)&exec->argv_len + *(volatile __u32 *)&exec->exe_len;

		if (off >= EGRETS_ARGV_MAX + EGRETS_EXE_MAX)
			break;
		long n = bpf_probe_read_kernel_str(exec->data + off, NAME_LEN,
						   BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0)
			break;
		exec->exe_len += n;
		dentry = parent;
	}
}

static __always_inline void report_exec(struct task_struct *task, int old_pid, __u32 copy)
{
	struct exec_scratch *s = bpf_map_lookup_elem(&exec_scratch, &copy);

	if (!s || is_told(task))
		return;
	/* a thread that is not the leader takes the leader's pid, and never exits as itself */
	drop_call((bpf_get_current_pid_tgid() & ~0xffffffffULL) | (__u32)old_pid);
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct egrets_exec *exec = (struct egrets_exec *)s->record;

	__builtin_memset(exec, 0, sizeof(*exec));
	stamp(&exec->h, EGRETS_EXEC);
	fill_owner(&exec->owner);
	exec->parent_tgid = BPF_CORE_READ(task, real_parent, tgid);
	exec->parent_start_ns = BPF_CORE_READ(task, real_parent, group_leader, start_boottime);
	exec->session = session_leader(task);
	exec->argv_len = read_argv(exec, mm);
	read_exe(exec, task, mm);

	__u64 size = sizeof(*exec) + exec->argv_len + exec->exe_len;

	if (size > sizeof(*s))
		size = sizeof(*s); /* for the verifier: it fits */
	__u64 flags = is_new_namespace(exec->owner.mntns_id) ? BPF_RB_FORCE_WAKEUP : wake_flags();

	if (bpf_ringbuf_output(&events, s, size, flags))
		count_lost(EGRETS_EXEC);
}

static __always_inline void report_fork(struct task_struct *child)
{
	struct task_struct *from = (struct task_struct *)bpf_get_current_task();
	struct egrets_fork *fork;

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return; /* a thread: it belongs to its process */
	if (is_told(child))
		return;
	fork = RESERVE(struct egrets_fork, EGRETS_FORK);
	if (!fork)
		return;
	fork->tgid = BPF_CORE_READ(child, tgid);
	fork->start_ns = BPF_CORE_READ(child, start_boottime);
	fork->parent_tgid = BPF_CORE_READ(child, real_parent, tgid);
	fork->parent_start_ns = BPF_CORE_READ(child, real_parent, group_leader, start_boottime);
	fork->from_tgid = BPF_CORE_READ(from, tgid);
	fork->from_start_ns = BPF_CORE_READ(from, group_leader, start_boottime);
	fork->session = session_leader(child);
	submit(fork);
}

static __always_inline void report_exit(struct task_struct *task, __u32 copy)
{
	struct egrets_exit *exit;

	drop_call(bpf_get_current_pid_tgid());
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return; /* other threads go on */
	__u32 tgid = BPF_CORE_READ(task, tgid);
	__u64 start_ns = BPF_CORE_READ(task, group_leader, start_boottime);

	if (exit_is_told(tgid, start_ns, copy))
		return;
	exit = RESERVE(struct egrets_exit, EGRETS_EXIT);
	if (!exit)
		return;
	exit->tgid = tgid;
	exit->start_ns = start_ns;
	submit(exit);
}

static __always_inline void report_cgroup(__u32 kind, struct cgroup *cgrp, const char *path,
					  struct task_struct *task)
{
	struct egrets_cgroup *e = RESERVE_MORE(struct egrets_cgroup, kind, EGRETS_PATH_MAX);

	if (!e)
		return;
	e->cgroup_id = BPF_CORE_READ(cgrp, kn, id);
	e->hierarchy = BPF_CORE_READ(cgrp, root, hierarchy_id);
	if (task) {
		e->tgid = BPF_CORE_READ(task, tgid);
		e->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	}
	long n = bpf_probe_read_kernel_str(e->path, EGRETS_PATH_MAX, path);

	e->path_len = n > 0 ? n - 1 : 0;
	/* a container that lives for milliseconds is to be asked about while it does */
	submit_urgent(e);
}

#endif
