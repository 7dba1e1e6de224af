/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The one ring buffer: reserving, counting what found no room, waking the reader. */
#ifndef EGRETS_RING_H
#define EGRETS_RING_H

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024); /* set at load; bytes */
} events SEC(".maps");

/* Records that found no room, by kind. Userspace reads it through mmap. */
__u64 lost[EGRETS_KINDS];

/* 1 while the reader sleeps with no time limit: the next record has to wake it. */
__u32 reader_idle;

/* Above this many unread bytes the reader is woken, busy or not. */
const volatile __u64 wake_bytes = 4 * 1024 * 1024;

static __always_inline void count_lost(__u32 kind)
{
	__sync_fetch_and_add(&lost[kind], 1);
}

static __always_inline __u64 wake_flags(void)
{
	if (reader_idle || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= wake_bytes)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void stamp(struct egrets_header *h, __u32 kind)
{
	h->ts = bpf_ktime_get_boot_ns();
	h->kind = kind;
}

/*
 * A stamped record of a type with `extra` bytes behind it; NULL, and counted,
 * where there is no room. The type's part is zeroed; what is written of the rest
 * the record tells.
 */
#define RESERVE_MORE(type, of_kind, extra)                                                         \
	({                                                                                         \
		type *__r = bpf_ringbuf_reserve(&events, sizeof(type) + (extra), 0);               \
		if (__r) {                                                                         \
			__builtin_memset(__r, 0, sizeof(type));                                    \
			stamp(&__r->h, of_kind);                                                   \
		} else {                                                                           \
			count_lost(of_kind);                                                       \
		}                                                                                  \
		__r;                                                                               \
	})

#define RESERVE(type, of_kind) RESERVE_MORE(type, of_kind, 0)

static __always_inline void submit(void *record)
{
	bpf_ringbuf_submit(record, wake_flags());
}

/* Of what is rare and can't wait for the reader to look in. */
static __always_inline void submit_urgent(void *record)
{
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}

#endif
