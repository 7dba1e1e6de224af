/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who connects or sends, and the sets of rules for that. */
#ifndef EGRETS_POLICY_ACTOR_H
#define EGRETS_POLICY_ACTOR_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "owner.h"
#include "policy_maps.h"
#include "process.h"

#define CGROUP_LEVELS 32 /* nested cgroups that are followed */

/* Inode number of the host's network namespace; 0 if it is not known. */
const volatile __u32 host_netns;

struct policy_actor {
	__u64 start_ns;
	__u64 exec_id;
	__u64 cgroup_id;
	__u32 tgid;
	__u32 uid;
	__u32 kernel;	  /* a kernel thread */
	__u32 at_home;	  /* in the host's own namespaces */
	__u32 is_current; /* the current process */
	__u32 on_host;	  /* and in its mount namespace, as no container is */
};

#define AT_HOME 1
#define ON_HOST 2

/* Whether the current process is in the host's own namespaces: a global function, verified once. */
__noinline __u32 policy_at_home(void)
{
	bool typed = task_is_typed;
	struct task_struct *task = current_task(typed);

	if (is_foreign(task, typed) || !host_netns ||
	    READ(typed, task, nsproxy, net_ns, ns.inum) != host_netns)
		return 0;
	if (!host_mntns || READ(typed, task, nsproxy, mnt_ns, ns.inum) != host_mntns)
		return AT_HOME;
	return AT_HOME | ON_HOST;
}

static __always_inline void current_actor(struct policy_actor *a)
{
	bool typed = task_is_typed;
	struct task_struct *task = current_task(typed);
	struct task_struct *leader = READ(typed, task, group_leader);
	const struct cred *cred = READ(typed, task, cred);

	a->tgid = READ(typed, task, tgid);
	a->start_ns = READ(typed, leader, start_boottime);
	a->exec_id = READ(typed, leader, self_exec_id);
	a->uid = READ(typed, cred, uid.val);
	a->cgroup_id = READ(typed, task, cgroups, dfl_cgrp, kn, id);
	a->kernel = READ(typed, task, flags) / PF_KTHREAD & 1;
	__u32 namespaces = policy_at_home();

	a->at_home = namespaces & AT_HOME;
	a->on_host = namespaces / ON_HOST & 1;
	a->is_current = 1;
}

/* A socket's owner, of what a kernel thread or an interrupt does for it. */
static __always_inline void owner_actor(struct policy_actor *a, const struct egrets_owner *owner)
{
	a->tgid = owner->tgid;
	a->start_ns = owner->start_ns;
	a->exec_id = owner->exec_id;
	a->uid = owner->uid;
	a->cgroup_id = owner->cgroup_id;
	a->kernel = false;
	a->at_home = !owner->foreign && host_netns && owner->netns == host_netns;
	a->is_current = false;
	a->on_host = false;
}

/* A class in the lower half, its flags above. */
#define CLASS(entry) ((entry)->class | (__u64)(entry)->flags << 32)
#define UNKNOWN_CLASS (POLICY_UNKNOWN_CLASS | (__u64)POLICY_UNKNOWN << 32)

/*
 * The class of the current process' cgroup, or of the nearest one above it that has one and
 * hands it down. A container's cgroup is new, and what is above it is not the container: it
 * stays unknown until userspace has classified it. So does that of a session or a unit, unless
 * its process is on_host: see struct policy_actor.
 */
__noinline __u64 policy_current_class(__u32 on_host)
{
	struct task_struct *task = current_task(false);
	struct cgroup *at = BPF_CORE_READ(task, cgroups, dfl_cgrp);

	for (int i = 0; i < CGROUP_LEVELS && at; i++) {
		__u64 id = BPF_CORE_READ(at, kn, id);
		const struct policy_cgroup *found = bpf_map_lookup_elem(&policy_cgroups, &id);

		if (found && (!i || (found->flags & POLICY_INHERITED)))
			return CLASS(found);
		if (found)
			return on_host ? CLASS(found) : UNKNOWN_CLASS;
		/* the first field of struct cgroup is its own css */
		at = (struct cgroup *)BPF_CORE_READ(at, self.parent);
	}
	return UNKNOWN_CLASS;
}

static __always_inline __u64 class_of(const struct policy_actor *a)
{
	__u64 id = a->cgroup_id;

	if (a->is_current)
		return policy_current_class(a->on_host);
	const struct policy_cgroup *found = bpf_map_lookup_elem(&policy_cgroups, &id);

	return found ? CLASS(found) : UNKNOWN_CLASS;
}

static __always_inline __u32 class_set(const struct policy_settings *s, __u32 class)
{
	struct policy_class_key key = {.generation = s->generation, .class = class};
	const __u32 *set = bpf_map_lookup_elem(&policy_classes, &key);

	return set ? *set : s->class_miss;
}

static __always_inline __u32 user_set(const struct policy_settings *s, __u32 uid)
{
	struct policy_user_key key = {.generation = s->generation, .uid = uid};
	const __u32 *set = bpf_map_lookup_elem(&policy_users, &key);

	return set ? *set : s->user_miss;
}

/* The set of a path; `other` without one. */
static __always_inline __u32 exe_lookup(__u32 generation, __u32 kind, __u64 hash, __u32 other)
{
	struct policy_exe_key key = {.generation = generation, .kind = kind, .hash = hash};
	const __u32 *set = bpf_map_lookup_elem(&policy_exes, &key);

	return set ? *set : other;
}

/* Of the directory that a program's file is in. */
static __always_inline __u64 directory_hash(const struct policy_process *p)
{
	__u32 n = p->components - 1;

	return n ? p->directories[(n - 1) % POLICY_EXE_DEPTH] : policy_key;
}

/*
 * The set of the longest path of a rule that a program's begins with; `miss` without one. In a
 * container paths are the container's own. From the shortest to the longest, without an early
 * return: so that all ways through look the same to the verifier, which would follow each
 * otherwise (half a million instructions on 5.10).
 */
__noinline __u32 policy_exe_set(__u32 generation, __u32 depth, __u32 tgid, __u32 contained,
				__u32 miss)
{
	const struct policy_process *p = bpf_map_lookup_elem(&policy_processes, &tgid);
	__u32 set = miss;

	if (!p || !p->components || (!contained && !p->trusted))
		return set;
	__u32 kind = contained ? POLICY_EXE_CONTAINED : 0;

	set = exe_lookup(generation, kind + POLICY_EXE_BELOW, policy_key, set);
	for (__u32 n = 0; n < POLICY_EXE_DEPTH; n++) {
		if (n >= depth)
			break;
		/* 0, which is no path's, beyond the file's directory */
		set = exe_lookup(generation, kind + POLICY_EXE_BELOW, p->directories[n], set);
	}
	if (p->components - 1 <= POLICY_EXE_DEPTH)
		set = exe_lookup(generation, kind + POLICY_EXE_CHILD, directory_hash(p), set);
	return exe_lookup(generation, kind + POLICY_EXE, p->path, set);
}

/* The entry of the program that a process runs, NULL if that is not known. */
static __always_inline const struct policy_process *process_of(const struct policy_actor *a)
{
	__u32 tgid = a->tgid;
	const struct policy_process *p = bpf_map_lookup_elem(&policy_processes, &tgid);

	if (!p || p->start_ns != a->start_ns || p->exec_id != a->exec_id)
		return NULL;
	return p;
}

/* Whether the policy is about this process at all. */
static __always_inline bool is_subject(const struct policy_settings *s,
				       const struct policy_actor *a)
{
	if (!(s->flags & POLICY_TREE_ONLY))
		return true;
	const struct policy_process *p = process_of(a);

	return p && p->tree;
}

#endif
