/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ring buffer: reserving records, counting losses, waking the reader. */
#ifndef EGRETS_RING_H
#define EGRETS_RING_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "share.h"

/* Bytes. Set at load. */
const volatile __u64 ring_bytes = 16 * 1024 * 1024;

/* With this part of it unread the reader is woken, busy or not. */
#define WAKE_PART 4

/* A reader that sleeps without a time limit has to be woken by the next record. */
static __always_inline __u64 wake_flags(void)
{
	if (shared.reader_idle ||
	    bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= ring_bytes / WAKE_PART)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* How much of the ring buffer a user may have unread: so many times what is free of it. */
#define USER_RING_FACTOR 2
#define ROOT_RING_FACTOR 4

/*
 * No user may fill the ring buffer that all need. What each may have in it shrinks with what is
 * free (Choudhury and Hahne, Dynamic Queue Length Thresholds for Shared-Memory Packet Switches,
 * 1998): one user who causes more events than are read has two thirds of it, two of them have two
 * fifths each, and as much as is left free is for those who cause few. Who has nothing in it
 * always has room, if there is any.
 */
static __always_inline bool has_ring_room(__u32 id)
{
	__u64 unread = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	/* an interrupt between its two positions can make it more than there is */
	__u64 free = unread < ring_bytes ? ring_bytes - unread : 0;

	return share(id)->unread <= free * (id ? USER_RING_FACTOR : ROOT_RING_FACTOR);
}

/* What a record takes of the ring buffer (kernel/bpf/ringbuf.c). */
static __always_inline __u32 ring_size(__u32 size)
{
	return (size + EGRETS_RING_HEADER + 7) & ~7u;
}

/* Before the record is submitted: the reader, which discounts it, may have it right after. */
static __always_inline void take_ring_room(__u32 id, __u32 size)
{
	__sync_fetch_and_add(&share(id)->unread, ring_size(size));
}

static __always_inline void give_ring_room(__u32 id, __u32 size)
{
	__sync_fetch_and_add(&share(id)->unread, -ring_size(size));
}

static __always_inline void init_header(struct egrets_header *h, __u32 kind, __u32 id)
{
	h->ts = bpf_ktime_get_boot_ns();
	h->kind = kind;
	h->share = id;
}

/*
 * A record of a type with `extra` bytes behind it, of the user with this share; NULL, and
 * counted, without room. The fixed part is zeroed; the record says how much of the rest is
 * written. An urgent one may take more than its user's share.
 */
#define RESERVE_EXTRA(type, of_kind, of_share, extra)                                              \
	RESERVE_URGENT(type, of_kind, of_share, extra, false)

#define RESERVE_URGENT(type, of_kind, of_share, extra, urgent)                                     \
	({                                                                                         \
		__u32 __id = (of_share);                                                           \
		type *__r = NULL;                                                                  \
		if ((urgent) || has_ring_room(__id))                                               \
			__r = bpf_ringbuf_reserve(&events, sizeof(type) + (extra), 0);             \
		if (__r) {                                                                         \
			take_ring_room(__id, sizeof(type) + (extra));                              \
			__builtin_memset(__r, 0, sizeof(type));                                    \
			init_header(&__r->h, of_kind, __id);                                       \
		} else {                                                                           \
			count_lost(of_kind);                                                       \
		}                                                                                  \
		__r;                                                                               \
	})

#define RESERVE(type, of_kind, of_share) RESERVE_EXTRA(type, of_kind, of_share, 0)

static __always_inline void submit(void *record)
{
	bpf_ringbuf_submit(record, wake_flags());
}

/* For rare records that can't wait until the reader polls. */
static __always_inline void submit_urgent(void *record)
{
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}

#endif
