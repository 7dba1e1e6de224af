/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Room in the tables of names: no user may take another's. Each share (share.h) of a network
 * namespace has a ring of slots per table, and a new entry takes the place of its oldest one. So
 * the tables need no sweeping, and a flood of lookups costs the grants of its own user alone.
 */
#ifndef EGRETS_POLICY_NAMES_ORDER_H
#define EGRETS_POLICY_NAMES_ORDER_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "policy_names_hash.h"
#include "policy_names_maps.h"
#include "policy_names_types.h"
#include "share.h"

/* Buckets that two have together are rare, and no process can foresee them. */
__noinline __u32 bucket_of(__u64 netns_cookie, __u32 share)
{
	struct siphash h;

	siphash_begin(&h);
	siphash_word(&h, netns_cookie);
	siphash_word(&h, share);
	return siphash_end(&h) & (POLICY_BUCKETS - 1);
}

/* The slot for a new entry. A lock: a program may not read and add at once before 5.12. */
static __always_inline bool next_slot(struct policy_order_key *at, __u32 room)
{
	struct policy_bucket *bucket = bpf_map_lookup_elem(&policy_buckets, &at->bucket);

	if (!bucket || at->table >= ORDER_TABLES)
		return false;
	__u32 *next = &bucket->next[at->table];

	bpf_spin_lock(&bucket->lock);
	at->slot = *next;
	*next = at->slot + 1 < room ? at->slot + 1 : 0;
	bpf_spin_unlock(&bucket->lock);
	return true;
}

/*
 * Makes room for an entry of s->key, which the table has not, by deleting another one's; false if
 * there is none.
 */
static __always_inline bool make_room(void *map, const struct names_scratch *s, __u16 table,
				      __u32 max)
{
	struct policy_order_key at = {.bucket = s->query.asker.bucket, .table = table};
	__u32 part = s->query.asker.is_system ? ROOT_PART : USER_PART;

	if (!next_slot(&at, max / part))
		return false;
	struct policy_order_value *oldest = bpf_map_lookup_elem(&policy_order, &at);

	if (oldest) {
		struct policy_order_value gone = *oldest;

		bpf_map_delete_elem(map, &gone);
	}
	return !bpf_map_update_elem(&policy_order, &at, &s->key, BPF_ANY);
}

#endif
