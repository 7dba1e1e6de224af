/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The bytes of TCP connections while they are open: an iterator over the owner map
 * reads the kernel's own counters off each socket when userspace asks. So it costs
 * the packets nothing. The map does not hold the socket: one that was freed, and
 * used again, has another cookie.
 */
#ifndef EGRETS_CARRIED_H
#define EGRETS_CARRIED_H

static __always_inline void write_carried(struct seq_file *seq, const __u64 *key,
					  const struct egrets_sock *s)
{
	const struct sock *sk = (const struct sock *)s->sk;
	struct egrets_carried e = {.cookie = *key};
	struct egrets_added added = s->added;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) != e.cookie)
		return;
	tls_added(sk, &added);
	if (!carried(sk, &added, &e.tx_bytes, &e.rx_bytes) ||
	    BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) != e.cookie)
		return;
	bpf_seq_write(seq, &e, sizeof(e));
}

#endif
