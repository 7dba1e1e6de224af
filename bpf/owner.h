/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The process behind an event, and the entries of the socket map that name it. */
#ifndef EGRETS_OWNER_H
#define EGRETS_OWNER_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "order.h"
#include "read.h"
#include "share.h"
#include "uapi.h"

#define SYS_UID_MAX 999	   /* login.defs(5) */
#define SOCK_COMMON_LEN 64 /* skc_net is well within, on every kernel */

/* egrets itself, whose traffic is not reported. */
const volatile __u32 self_tgid;

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

/* As bpf_get_current_pid_tgid, which 5.10 refuses in cgroup/sock_ops. */
static __always_inline __u64 current_thread(void)
{
	struct task_struct *task = current_task(false);

	return (__u64)BPF_CORE_READ(task, tgid) << 32 | (__u32)BPF_CORE_READ(task, pid);
}

static __always_inline bool is_self(void)
{
	return current_tgid() == self_tgid;
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = current_task(false);

	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

/* Until 6.17 a mount namespace had its id in a field of its own struct. */
struct mnt_namespace___before_6_18 {
	__u64 seq;
};

static __always_inline void fill_mount_namespace(struct egrets_owner *owner,
						 struct task_struct *task, bool typed)
{
	struct mnt_namespace *ns = READ(typed, task, nsproxy, mnt_ns);
	struct mnt_namespace___before_6_18 *old = (void *)ns;

	owner->mntns = READ(typed, ns, ns.inum);
	if (bpf_core_field_exists(old->seq))
		owner->mntns_id = READ(typed, old, seq);
	else
		owner->mntns_id = READ(typed, ns, ns.ns_id);
}

/* Audit's loginuid: the user that logged in, whatever the process has become since. */
static __always_inline __u32 login_uid(struct task_struct *task, bool typed)
{
	if (!bpf_core_field_exists(task->loginuid))
		return EGRETS_NO_LOGIN;
	return READ(typed, task, loginuid.val);
}

/* The effective user: a set-user-ID program acts with its owner's rights. */
static __always_inline __u32 effective_uid(struct task_struct *task, bool typed)
{
	const struct cred *cred = READ(typed, task, cred);

	return READ(typed, cred, euid.val);
}

/* What is in the user and pid namespaces that the host began with is no container. */
static __always_inline __u32 is_foreign(struct task_struct *task, bool typed)
{
	const struct cred *cred = READ(typed, task, cred);

	return READ(typed, cred, user_ns, level) || READ(typed, task, thread_pid, level);
}

/* Of any process. The network namespace is the socket's and is left out. */
static __always_inline void fill_process(struct egrets_owner *owner, struct task_struct *task,
					 bool typed)
{
	struct task_struct *leader = READ(typed, task, group_leader);
	const struct cred *cred = READ(typed, task, cred);

	owner->tgid = READ(typed, task, tgid);
	owner->tid = READ(typed, task, pid);
	owner->uid = READ(typed, cred, uid.val);
	owner->start_ns = READ(typed, leader, start_boottime);
	owner->exec_id = READ(typed, leader, self_exec_id);
	owner->cgroup_id = READ(typed, task, cgroups, dfl_cgrp, kn, id);
	owner->login_uid = login_uid(task, typed);
	owner->euid = effective_uid(task, typed);
	owner->foreign = is_foreign(task, typed);
	fill_mount_namespace(owner, task, typed);
	bpf_probe_read_kernel_str(owner->comm, sizeof(owner->comm), leader->comm);
}

/* Until 5.11 the cookie was assigned on first use. */
struct net___before_5_12 {
	atomic64_t net_cookie;
};

static __always_inline __u64 netns_cookie(struct net *net)
{
	struct net___before_5_12 *old = (void *)net;

	if (bpf_core_field_exists(net->net_cookie))
		return BPF_CORE_READ(net, net_cookie);
	if (bpf_core_field_exists(old->net_cookie))
		return BPF_CORE_READ(old, net_cookie.counter);
	return 0;
}

/* The same with the socket's network namespace. */
static __always_inline void fill_owner_of(struct egrets_owner *owner, struct task_struct *task,
					  struct net *net)
{
	fill_process(owner, task, false);
	owner->netns = BPF_CORE_READ(net, ns.inum);
	owner->netns_cookie = netns_cookie(net);
}

/* Until 5.13: the cgroup's address with flags, or what cgroup v1 keeps there. */
struct sock_cgroup_data___before_5_14 {
	__u64 val;
};

#define CGROUP_V1_DATA 1
#define CGROUP_FLAGS 3

/* Id of the cgroup that a socket was created in; 0 if it is not known. */
static __always_inline __u64 socket_cgroup(const struct sock *sk)
{
	struct sock_cgroup_data___before_5_14 *old = NULL;
	const struct cgroup *cgroup;

	if (bpf_core_field_exists(old->val)) {
		__u64 at = (__u64)sk + bpf_core_field_offset(struct sock, sk_cgrp_data);
		__u64 val = BPF_CORE_READ((struct sock_cgroup_data___before_5_14 *)at, val);

		cgroup = val & CGROUP_V1_DATA ? NULL : (void *)(val & ~(__u64)CGROUP_FLAGS);
	} else {
		cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	}
	return BPF_CORE_READ(cgroup, kn, id);
}

/*
 * Where no process is known: the user who created the socket, and that user's cgroup. The network
 * namespace stays.
 */
static __always_inline void fill_unknown_owner(struct egrets_owner *owner, const struct sock *sk)
{
	__u64 cookie = owner->netns_cookie;
	__u32 netns = owner->netns;

	__builtin_memset(owner, 0, sizeof(*owner));
	owner->netns_cookie = cookie;
	owner->netns = netns;
	owner->uid = BPF_CORE_READ(sk, sk_uid.val);
	owner->euid = owner->uid;
	owner->login_uid = EGRETS_NO_LOGIN;
	owner->cgroup_id = socket_cgroup(sk);
	owner->foreign = 1;
}

/*
 * The address of a socket whose fields the verifier does not let a program read: of a pointer
 * that it knows as such it allows no arithmetic, of a number it does.
 */
static __always_inline const struct sock *address_of(const void *sk)
{
	const struct sock *address = NULL;

	bpf_probe_read_kernel(&address, sizeof(address), &sk);
	return address;
}

/*
 * The socket's own network namespace: its process may be in another one by now. The
 * verifier accepts the socket's pointer only unchanged, so the start of the struct is copied
 * and the field, whose offset CO-RE makes a constant, is read from the copy.
 */
static __always_inline struct net *net_of(const void *sk)
{
	__u8 common[SOCK_COMMON_LEN] = {};

	if (!sk || bpf_probe_read_kernel(common, sizeof(common), sk))
		return NULL;
	__u64 off = bpf_core_field_offset(struct sock_common, skc_net);

	barrier_var(off); /* or clang folds it into the load, which CO-RE refuses */
	return *(struct net **)(common + off);
}

static __always_inline __u32 netns_of(const void *sk)
{
	struct net *net = net_of(sk);

	return net ? BPF_CORE_READ(net, ns.inum) : 0;
}

/* The current process, which names a destination. tcp is its socket, typed, or NULL. */
static __always_inline void fill_sock_owner(struct egrets_owner *owner, struct bpf_sock_addr *ctx,
					    const struct sock *tcp)
{
	bool typed = task_is_typed;

	fill_process(owner, current_task(typed), typed);
	owner->netns_cookie = bpf_get_netns_cookie(ctx);
	owner->netns = tcp ? tcp->__sk_common.skc_net.net->ns.inum : netns_of(ctx->sk);
}

/* Zero, and never written: the entry takes too much of the stack. */
struct egrets_sock new_sock;

/*
 * Creates the entry of a socket that has none, for the user with this share; NULL, and counted,
 * without room. `sk` is the address of a struct sock. The caller sets the owner.
 */
static __always_inline struct egrets_sock *sock_create(__u64 cookie, const void *sk, __u32 id)
{
	if (!has_room(share(id)->socks, EGRETS_SOCKS, id)) {
		count_lost_socket(id, cookie);
		return NULL;
	}
	bool created = !bpf_map_update_elem(&socks, &cookie, &new_sock, BPF_NOEXIST);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s) {
		count_lost_socket(id, cookie);
		return NULL;
	}
	if (created) {
		share_take(&share(id)->socks);
		s->share = id;
		s->sk = (__u64)sk;
	}
	return s;
}

/* Whose part of the tables a socket takes that the current task makes for this owner. */
static __always_inline __u32 share_for(const struct egrets_owner *owner, bool typed)
{
	struct task_struct *task = current_task(typed);

	/* the kernel adds paths to a user's MPTCP connection */
	return READ(typed, task, flags) & PF_KTHREAD ? share_of_uid(owner->uid)
						     : share_of(task, typed);
}

static __always_inline struct egrets_sock *
sock_get_or_create(__u64 cookie, const void *sk, const struct egrets_owner *owner, bool typed)
{
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s)
		return s;
	s = sock_create(cookie, sk, share_for(owner, typed));
	if (s && !s->owner.tgid)
		s->owner = *owner;
	return s;
}

static __always_inline void sock_delete(__u64 cookie, const struct egrets_sock *s)
{
	__u32 id = s->share;
	bool unowned = s->unowned;

	if (bpf_map_delete_elem(&socks, &cookie))
		return;
	share_give_back(&share(id)->socks);
	if (unowned)
		__sync_fetch_and_add(&unowned_socks, -1);
}

/* In the context of a process that uses the socket: records one other than the owner. */
static __always_inline void mark_shared(struct egrets_sock *s)
{
	__u32 tgid = current_tgid();

	if (tgid != s->owner.tgid && !is_kernel_thread())
		s->shared_tgid = tgid;
}

#endif
