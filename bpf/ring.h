/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ring buffer: reserving records, counting losses, waking the reader. */
#ifndef EGRETS_RING_H
#define EGRETS_RING_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"

/* 1 while the reader sleeps without a time limit: the next record has to wake it. */
__u32 reader_idle;

/* With this many unread bytes the reader is woken, busy or not. */
const volatile __u64 wake_bytes = 4 * 1024 * 1024;

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
