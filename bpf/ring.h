/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ring buffer: reserving records, counting losses, waking the reader. */
#ifndef EGRETS_RING_H
#define EGRETS_RING_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "share.h"

/* 1 while the reader sleeps without a time limit: the next record has to wake it. */
__u32 reader_idle;

/* With this many unread bytes the reader is woken, busy or not: a quarter of the ring buffer. */
const volatile __u64 wake_bytes = 4 * 1024 * 1024;

#define RING_USE_NS 1000000000ULL
#define ROOT_RING_USE (1024 * 1024) /* bytes, at least */

/* What a user has put into the half of the ring buffer that is kept for all, in that time. */
struct ring_use {
	__u64 since;
	__u64 bytes;
};

struct ring_use ring_uses[EGRETS_SHARES]; /* by share.h's ids */

/*
 * Whether a user has some of it left: an eighth of the ring buffer, root a quarter. Two records at
 * once may both be counted as one: it is a bound, not a measure. Verified once.
 */
__noinline int has_ring_share(__u32 id, __u32 size)
{
	__u64 now = bpf_ktime_get_boot_ns();

	id &= EGRETS_SHARES - 1;
	barrier_var(id); /* keeps the bound on the register that is the index */
	struct ring_use *use = &ring_uses[id];

	if (now - use->since > RING_USE_NS) {
		use->since = now;
		use->bytes = 0;
	}
	use->bytes += size;
	if (id)
		return use->bytes <= wake_bytes / 2;
	return use->bytes <= (wake_bytes > ROOT_RING_USE ? wake_bytes : ROOT_RING_USE);
}

/*
 * No user may fill the ring buffer that all need. Once half of it is unread, who causes many events
 * loses their own, so that the other half is left for the events of others.
 */
static __always_inline bool is_half_full(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= 2 * wake_bytes;
}

static __always_inline bool has_ring_room(__u32 id, __u32 size)
{
	return !is_half_full() || has_ring_share(id, size);
}

static __always_inline __u64 wake_flags(void)
{
	if (reader_idle || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= wake_bytes)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void init_header(struct egrets_header *h, __u32 kind)
{
	h->ts = bpf_ktime_get_boot_ns();
	h->kind = kind;
}

/*
 * A record of a type with `extra` bytes behind it; NULL, and counted, without room. The
 * fixed part is zeroed; the record says how much of the rest is written.
 */
#define RESERVE_EXTRA(type, of_kind, extra)                                                        \
	({                                                                                         \
		type *__r = bpf_ringbuf_reserve(&events, sizeof(type) + (extra), 0);               \
		if (__r) {                                                                         \
			__builtin_memset(__r, 0, sizeof(type));                                    \
			init_header(&__r->h, of_kind);                                             \
		} else {                                                                           \
			count_lost(of_kind);                                                       \
		}                                                                                  \
		__r;                                                                               \
	})

#define RESERVE(type, of_kind) RESERVE_EXTRA(type, of_kind, 0)

/* The same for what a user causes, by share.h's ids; NULL, and counted, if that is too much. */
#define RESERVE_EXTRA_OF(id, type, of_kind, extra)                                                 \
	({                                                                                         \
		type *__of = NULL;                                                                 \
		if (has_ring_room(id, sizeof(type) + (extra)))                                     \
			__of = RESERVE_EXTRA(type, of_kind, extra);                                \
		else                                                                               \
			count_lost(of_kind);                                                       \
		__of;                                                                              \
	})

#define RESERVE_OF(id, type, of_kind) RESERVE_EXTRA_OF(id, type, of_kind, 0)

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
