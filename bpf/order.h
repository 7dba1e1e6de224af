/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Shares of the tables that forget. Each user's entries have places in a ring, and a new entry
 * takes the place of that user's oldest: a flood makes its own user's be forgotten, and no other's.
 *
 * Programs on two processors that add at once may take one place, as an atomic sum that says what
 * it was takes 5.12. Then an entry is left without a place, until the table is full and forgets
 * what was not used for the longest time.
 */
#ifndef EGRETS_ORDER_H
#define EGRETS_ORDER_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "share.h"

struct place {
	__u32 share;
	__u32 at;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, INBOUND);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct place);
	__type(value, struct egrets_flow_key);
} inbound_order SEC(".maps");

/* Preallocated, as kprobe programs need it (5.10). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOST_ONCE);
	__type(key, struct place);
	__type(value, struct egrets_flow_key);
} lost_order SEC(".maps");

/* Gives a new entry the next place of its user's ring. */
static __always_inline void take_place(void *map, void *order, __u32 max, __u32 *next, __u32 id,
				       const struct egrets_flow_key *key)
{
	__u32 room = max / (id ? USER_PART : ROOT_PART);
	struct place place = {.share = id, .at = *next};
	struct egrets_flow_key *oldest;

	if (place.at >= room)
		place.at = 0;
	*next = place.at + 1;
	oldest = bpf_map_lookup_elem(order, &place);
	/* its own memory is the key: there is little room on the stack */
	if (oldest)
		bpf_map_delete_elem(map, oldest);
	bpf_map_update_elem(order, &place, key, BPF_ANY);
}

/* The user of a socket on which no process has named a destination yet. */
static __always_inline __u32 share_of_socket(const struct sock *sk)
{
	return share_of_uid(BPF_CORE_READ(sk, sk_uid.val));
}

/* Counts a loss once for each flow, or socket, of the user with this share. */
static __always_inline void count_lost_once(__u32 id, const struct egrets_flow_key *key, __u32 kind)
{
	__u8 one = 1;

	if (bpf_map_update_elem(&lost_once, key, &one, BPF_NOEXIST))
		return;
	count_lost(kind);
	take_place(&lost_once, &lost_order, LOST_ONCE, &share(id)->next_lost, id, key);
}

static __always_inline void count_lost_socket(__u32 id, __u64 cookie)
{
	struct egrets_flow_key key = {.cookie = cookie};

	count_lost_once(id, &key, EGRETS_SOCKET);
}

#endif
