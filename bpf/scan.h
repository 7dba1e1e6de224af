/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What userspace asks of sockets in socks, so that packets cost nothing: the bytes of TCP
 * connections while they are open, by the kernel's own counters, and whether an entry is stale.
 * A socket that a policy refused at its creation and the kernel's own sockets have no release.
 * The map holds no reference to the socket: one that was freed has no references, or after reuse
 * another cookie.
 *
 * Userspace writes cookies into scan[] and runs the program (BPF_PROG_TEST_RUN). It is of a
 * type that may use maps without preallocation: a raw tracepoint's may not before 6.1
 * (check_map_prog_compatibility, kernel/bpf/verifier.c). An iterator over the map
 * (iter/bpf_map_elem) would do the same, but some vendors' kernels refuse it.
 */
#ifndef EGRETS_SCAN_H
#define EGRETS_SCAN_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "ktls.h"
#include "maps.h"
#include "tcp.h"

#define SCAN_LEN 64 /* sockets that one run looks at */

struct egrets_scan scan[SCAN_LEN];
__u32 scan_len;

static __always_inline bool is_alive(const struct sock *sk, __u64 cookie)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) == cookie &&
	       BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter);
}

static __always_inline __u32 scan_result(struct egrets_scan *e, __u64 cookie)
{
	const struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s || !s->sk)
		return EGRETS_SCAN_NOTHING;
	const struct sock *sk = (const struct sock *)s->sk;
	struct egrets_tls_overhead tls = s->tls;
	__u64 tx = 0, rx = 0;

	if (!is_alive(sk, cookie))
		return EGRETS_SCAN_STALE;
	if (!s->established)
		return EGRETS_SCAN_NOTHING;
	tls_overhead(sk, &tls, false);
	/* it may have been freed meanwhile */
	if (!tcp_counters(sk, &tls, &tx, &rx, false) || !is_alive(sk, cookie))
		return EGRETS_SCAN_NOTHING;
	e->tx_bytes = tx;
	e->rx_bytes = rx;
	return EGRETS_SCAN_OPEN;
}

/* Verified once, by itself, and not for each turn of the loop. */
__noinline int scan_sock(__u32 i)
{
	if (i >= SCAN_LEN)
		return 0;
	struct egrets_scan *e = &scan[i];

	e->result = scan_result(e, e->cookie);
	return 0;
}

static __always_inline void scan_socks(void)
{
	for (__u32 i = 0; i < SCAN_LEN && i < scan_len; i++)
		scan_sock(i);
}

#endif
