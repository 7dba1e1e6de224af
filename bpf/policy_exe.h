/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Programs of processes. A program is what the exec hook saw, in a mount namespace that the
 * initial user namespace owns. It is trusted if only root can change what is at its path. A
 * process inherits it from the one that forked it. One that runs already can have named any file
 * as its program if it has capabilities in a user namespace (PR_SET_MM_MAP).
 */
#ifndef EGRETS_POLICY_EXE_H
#define EGRETS_POLICY_EXE_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "owner.h"
#include "policy_hash.h"
#include "policy_lineage.h"
#include "policy_maps.h"
#include "process.h"
#include "uapi.h"

#define NAME_WORDS ((NAME_MAX + 1) / 8)
#define POLICY_EXEC_COPIES 2 /* programs on exec */
#define POLICY_ITERATOR POLICY_EXEC_COPIES

/* A path while it is hashed. */
struct policy_path {
	__u64 name[NAME_WORDS];		     /* the component, filled up with zeros */
	__u64 components[POLICY_COMPONENTS]; /* hashes, from the last to the first */
	__u32 count;
	__u32 len;	       /* of the name, its NUL included */
	struct dentry *dentry; /* the component that is next, */
	struct vfsmount *vfs;  /* and its mount */
	struct policy_process process;
};

/* By program: none is entered twice on one CPU, as with exec_scratch. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, POLICY_EXEC_COPIES + 1);
	__type(key, __u32);
	__type(value, struct policy_path);
} policy_paths SEC(".maps");

/* Of the name that is there. A global function, verified once instead of for each component. */
__noinline __u64 policy_hash_name(__u32 slot)
{
	struct policy_path *p = bpf_map_lookup_elem(&policy_paths, &slot);
	__u64 hash = policy_key;

	if (!p)
		return 0;
	hash = policy_mix(hash, p->len);
	for (int i = 0; i < NAME_WORDS && i * 8 < p->len; i++)
		hash = policy_mix(hash, p->name[i]);
	return hash;
}

static __always_inline bool add_component(struct policy_path *p, __u32 slot, struct dentry *dentry)
{
	__u32 at = *(volatile __u32 *)&p->count;

	if (at >= POLICY_COMPONENTS)
		return false;
	__builtin_memset(p->name, 0, sizeof(p->name));
	long n = bpf_probe_read_kernel_str(p->name, sizeof(p->name),
					   BPF_CORE_READ(dentry, d_name.name));

	if (n <= 1)
		return false;
	p->len = n;
	p->components[at % POLICY_COMPONENTS] = policy_hash_name(slot);
	p->count = at + 1;
	return true;
}

enum policy_step { POLICY_STEP_ON, POLICY_STEP_TOP, POLICY_STEP_UNKNOWN };

/* One step of hash_components, a global function as step_up (process.h) is. */
__noinline int policy_step_up(__u32 slot)
{
	struct policy_path *p = bpf_map_lookup_elem(&policy_paths, &slot);

	if (!p)
		return POLICY_STEP_UNKNOWN;
	struct vfsmount *vfs = p->vfs;
	struct dentry *dentry = p->dentry;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

	if (is_shared(BPF_CORE_READ(dentry, d_inode)))
		p->process.trusted = 0;
	if (dentry == BPF_CORE_READ(vfs, mnt_root)) {
		struct mount *mnt = mount_of(vfs);
		struct mount *above = BPF_CORE_READ(mnt, mnt_parent);

		if (mnt == above)
			return POLICY_STEP_TOP;
		p->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
		p->vfs = vfs_of(above);
		return POLICY_STEP_ON;
	}
	if (dentry == parent || BPF_CORE_READ(dentry, d_name.len) > NAME_MAX)
		return POLICY_STEP_UNKNOWN;
	if (!add_component(p, slot, dentry))
		return POLICY_STEP_UNKNOWN;
	p->dentry = parent;
	return POLICY_STEP_ON;
}

/* As read_path (process.h), which keeps the names. False if the path is not known. */
static __always_inline bool hash_components(struct policy_path *p, __u32 slot, struct path at)
{
	int step = POLICY_STEP_ON;

	p->dentry = at.dentry;
	p->vfs = at.mnt;
	for (int i = 0; i < EXE_STEPS && step == POLICY_STEP_ON; i++)
		step = policy_step_up(slot);
	return step == POLICY_STEP_TOP;
}

/* From the first component on. */
static __always_inline void combine_components(struct policy_path *p)
{
	__u64 hash = policy_key;

	for (__u32 i = 0; i < POLICY_COMPONENTS; i++) {
		if (i >= p->count)
			break;
		hash = policy_mix(hash, p->components[(p->count - 1 - i) % POLICY_COMPONENTS]);
		if (i < POLICY_EXE_DEPTH && i + 1 < p->count)
			p->process.directories[i] = hash;
	}
	p->process.path = hash;
	p->process.components = p->count;
}

static __always_inline void hash_exe(struct policy_path *p, __u32 slot, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct file *file = mm ? BPF_CORE_READ(mm, exe_file) : NULL;

	const struct cred *cred = BPF_CORE_READ(task, cred);

	if (!file || (slot == POLICY_ITERATOR && BPF_CORE_READ(cred, user_ns, level)))
		return;
	struct path at = BPF_CORE_READ(file, f_path);
	__u8 view = exe_view(mount_of(at.mnt));

	if (view != EGRETS_EXE_HOST && view != EGRETS_EXE_NAMESPACE)
		return;
	if (!BPF_CORE_READ(at.dentry, d_hash.pprev)) /* deleted */
		return;
	p->process.trusted = 1;
	if (hash_components(p, slot, at))
		combine_components(p);
}

/* Records the program of a process, on exec; or of one that runs already. */
static __always_inline void policy_exec(struct task_struct *task, __u32 slot)
{
	struct policy_path *p = bpf_map_lookup_elem(&policy_paths, &slot);
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct policy_process *known = bpf_map_lookup_elem(&policy_processes, &tgid);
	__u64 start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	__u64 exec_id = BPF_CORE_READ(task, group_leader, self_exec_id);

	if (!p || (known && known->start_ns == start_ns && known->exec_id == exec_id))
		return; /* another copy has recorded it */
	__builtin_memset(&p->process, 0, sizeof(p->process));
	p->count = 0;
	p->process.start_ns = start_ns;
	p->process.exec_id = exec_id;
	if (known && known->start_ns == start_ns) {
		p->process.tree = known->tree;
		for (int i = 0; i < POLICY_VIEWS; i++)
			p->process.via[i] = known->via[i];
	}
	hash_exe(p, slot, task);
	bpf_map_update_elem(&policy_processes, &tgid, &p->process, BPF_ANY);
	policy_match_program(tgid);
}

/* A child runs the program of the process that creates it, whatever its parent is. */
static __always_inline void policy_fork(struct task_struct *child)
{
	struct task_struct *creator = (struct task_struct *)bpf_get_current_task();
	__u32 tgid = BPF_CORE_READ(creator, tgid);
	__u32 child_tgid = BPF_CORE_READ(child, tgid);

	if (BPF_CORE_READ(child, pid) != child_tgid)
		return; /* a thread */
	struct policy_process *from = bpf_map_lookup_elem(&policy_processes, &tgid);

	if (!from || from->start_ns != BPF_CORE_READ(creator, group_leader, start_boottime) ||
	    from->exec_id != BPF_CORE_READ(creator, group_leader, self_exec_id))
		return;
	__u64 start_ns = BPF_CORE_READ(child, start_boottime);
	__u64 exec_id = BPF_CORE_READ(child, self_exec_id);

	if (bpf_map_update_elem(&policy_processes, &child_tgid, from, BPF_ANY))
		return;
	struct policy_process *to = bpf_map_lookup_elem(&policy_processes, &child_tgid);

	if (!to)
		return;
	to->start_ns = start_ns;
	to->exec_id = exec_id;
	for (int i = 0; i < POLICY_VIEWS; i++)
		to->via[i] |= to->patterns[i];
}

static __always_inline void policy_exit(struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		bpf_map_delete_elem(&policy_processes, &tgid);
}

#endif
