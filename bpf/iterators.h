/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Output of the iterators, which run when userspace reads them, so that packets cost nothing.
 *
 * Over all files: sockets that are older than egrets, for userspace to read when it starts.
 *
 * Over socks: the bytes of TCP connections while they are open, by the kernel's own counters;
 * and the stale entries. A socket that a policy refused at its creation and the kernel's own
 * sockets have no release. The map holds no reference to the socket: one that was freed has
 * no references, or after reuse another cookie.
 *
 * Over flows: those whose socket has no entry. Threads that name destinations of one socket
 * at once can lose a link of its list, and its release does not end the flows behind it.
 */
#ifndef EGRETS_ITERATORS_H
#define EGRETS_ITERATORS_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "egrets.h"
#include "headers.h"
#include "ktls.h"
#include "maps.h"
#include "owner.h"
#include "tcp.h"
#include "uapi.h"

static __always_inline void write_open_sock(struct seq_file *seq, struct task_struct *task,
					    struct file *file, __u32 fd)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct egrets_open_sock e = {};

	/* O_PATH opens the inode of a Unix socket, without a socket behind it */
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK || !socket)
		return;
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!sk)
		return;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family != AF_INET && family != AF_INET6)
		return;
	e.protocol = BPF_CORE_READ(sk, sk_protocol);
	e.sock_type = BPF_CORE_READ(sk, sk_type);
	e.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	fill_owner_of(&e.owner, task, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	e.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &e.cookie);

	if (s)
		s->sk = (__u64)sk; /* userspace created the entry without it */
	e.inode = BPF_CORE_READ(inode, i_ino);
	e.fd = fd;
	e.src.port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	e.dst.port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (family == AF_INET) {
		set_ipv4(e.src.addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		set_ipv4(e.dst.addr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&e.src.addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&e.dst.addr, sk, __sk_common.skc_v6_daddr);
	}
	bpf_seq_write(seq, &e, sizeof(e));
}

static __always_inline bool is_alive(const struct sock *sk, __u64 cookie)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) == cookie &&
	       BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter);
}

static __always_inline void write_tcp_counters(struct seq_file *seq, const __u64 *cookie,
					       const struct egrets_sock *s)
{
	const struct sock *sk = (const struct sock *)s->sk;
	struct egrets_tcp_counters e = {.cookie = *cookie};
	struct egrets_tls_overhead tls = s->tls;

	if (!sk)
		return;
	if (!is_alive(sk, e.cookie)) {
		e.stale = 1;
	} else {
		if (!s->established)
			return;
		tls_overhead(sk, &tls);
		/* it may have been freed meanwhile */
		if (!tcp_counters(sk, &tls, &e.tx_bytes, &e.rx_bytes) || !is_alive(sk, e.cookie))
			return;
	}
	bpf_seq_write(seq, &e, sizeof(e));
}

static __always_inline void write_orphan_flow(struct seq_file *seq,
					      const struct egrets_flow_key *key)
{
	struct egrets_flow_key orphan = *key;

	if (!bpf_map_lookup_elem(&socks, &orphan.cookie))
		bpf_seq_write(seq, &orphan, sizeof(orphan));
}

#endif
