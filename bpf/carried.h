/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What iterators tell when userspace asks, so that it costs the packets nothing.
 *
 * Over the owner map: the bytes of TCP connections while they are open, by the kernel's
 * own counters; and the sockets that are no more without a release. A policy that refuses a
 * new socket and the kernel's end of a socket of its own pass no hook. The map does not hold
 * the socket: one that was freed has no references and, used again, another cookie.
 *
 * Over the flows: those whose socket has no entry. Threads that name destinations of one
 * socket at once can lose a link of its list, and its release then does not end them.
 */
#ifndef EGRETS_CARRIED_H
#define EGRETS_CARRIED_H

static __always_inline bool is_alive(const struct sock *sk, __u64 cookie)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) == cookie &&
	       BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter);
}

static __always_inline void write_carried(struct seq_file *seq, const __u64 *key,
					  const struct egrets_sock *s)
{
	const struct sock *sk = (const struct sock *)s->sk;
	struct egrets_tcp_counters e = {.cookie = *key};
	struct egrets_added added = s->added;

	if (!sk)
		return;
	if (!is_alive(sk, e.cookie)) {
		e.gone = 1;
	} else {
		if (!s->established)
			return;
		tls_added(sk, &added);
		if (!carried(sk, &added, &e.tx_bytes, &e.rx_bytes) || !is_alive(sk, e.cookie))
			return;
	}
	bpf_seq_write(seq, &e, sizeof(e));
}

static __always_inline void write_orphan(struct seq_file *seq, const struct egrets_flow_key *key)
{
	struct egrets_flow_key orphan = *key;

	if (!bpf_map_lookup_elem(&socks, &orphan.cookie))
		bpf_seq_write(seq, &orphan, sizeof(orphan));
}

#endif
