/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Shares: no user may fill a table that all users need. Each entry is counted for the user that
 * caused it, by its real id in the initial user namespace, which set-user-ID programs keep.
 * Who makes a user namespace gets thousands of ids there: those are counted for its owner.
 * Root has a share too, a larger one, since the root of many containers is the host's.
 *
 * An entry is counted when its insertion succeeds and discounted when its deletion does, each
 * of which happens once, so the sums are exact. Userspace discounts what it deletes through
 * the same memory. The limit may be exceeded by as many entries as there are processors.
 *
 * Users whose ids are equal modulo EGRETS_SHARES have one share together.
 */
#ifndef EGRETS_SHARE_H
#define EGRETS_SHARE_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "read.h"

#define USER_NAMESPACES 33 /* nested ones, kernel/user_namespace.c */
#define SUBORDINATE_IDS 16 /* bits of a user's range of ids, subuid(5) */
#define ROOT_PART 2	   /* 1/2 of each table */
#define USER_PART 8	   /* 1/8 */

static __always_inline struct egrets_share *share(__u32 id)
{
	barrier_var(id); /* or clang leaves out a bound that it knows, and the verifier does not */
	id &= EGRETS_SHARES - 1;
	barrier_var(id); /* keeps the bound on the register that is the index */
	return &shared.shares[id];
}

static __always_inline bool has_room(__u32 used, __u32 max, __u32 id)
{
	return used < max / (id ? USER_PART : ROOT_PART);
}

/* 0 is root's alone. */
static __always_inline __u32 share_id(__u32 n)
{
	__u32 id = n & (EGRETS_SHARES - 1);

	return id || !n ? id : EGRETS_SHARES - 1;
}

static __always_inline __u32 share_of(struct task_struct *task, bool typed)
{
	const struct cred *cred = READ(typed, task, cred);
	struct user_namespace *ns = READ(typed, cred, user_ns);
	__u32 uid = READ(typed, cred, uid.val);
	int level = READ(typed, ns, level);

	if (!level)
		return share_id(uid);
	for (int i = 0; i < USER_NAMESPACES && level > 1; i++, level--)
		ns = READ(typed, ns, parent);
	__u32 owner = READ(typed, ns, owner.val);

	/* made by root, for a container: no other user has its ids */
	return share_id(owner ? owner : EGRETS_SHARES / 2 + (uid >> SUBORDINATE_IDS));
}

/* By a user's id alone: of ids beyond those of users, a user has many, subuid(5). */
static __always_inline __u32 share_of_uid(__u32 uid)
{
	if (uid >> SUBORDINATE_IDS)
		uid = EGRETS_SHARES / 2 + (uid >> SUBORDINATE_IDS);
	return share_id(uid);
}

/* Root's for the kernel's own threads. A global function, verified once. */
__noinline __u32 share_of_current(void)
{
	return share_of(current_task(false), false);
}

static __always_inline void share_give_back(__u32 *used)
{
	__sync_fetch_and_add(used, -1);
}

static __always_inline void share_take(__u32 *used)
{
	__sync_fetch_and_add(used, 1);
}

#endif
