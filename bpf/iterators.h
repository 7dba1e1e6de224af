/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sockets that are older than egrets: output of an iterator over the files of all processes,
 * for userspace to read when it starts.
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
#include "maps.h"
#include "ktls.h"
#include "owner.h"
#include "share.h"
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
	e.share = share_of(task);
	if (e.protocol == IPPROTO_TCP || e.protocol == IPPROTO_MPTCP) {
		struct egrets_tls_overhead tls = {};

		tls_overhead(sk, &tls);
		e.has_bytes = tcp_counters(sk, &tls, &e.tx_bytes, &e.rx_bytes);
	}
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

#endif
