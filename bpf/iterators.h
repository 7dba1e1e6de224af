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
#include "mptcp.h"
#include "owner.h"
#include "share.h"
#include "tcp.h"
#include "uapi.h"

/* The pass that userspace is making over all files. */
__u32 listing;

#define LISTED_HOLDERS 8 /* processes of a socket that are listed */

struct listed_sock {
	__u32 pass;
	__u32 tgid; /* the process that was listed last */
	__u32 holders;
	__u32 by_creator; /* one of them runs as the user who created the socket */
};

/*
 * Sockets that this pass has listed, by address: a user may have a million descriptors of one.
 * Without room a socket is listed more often.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct listed_sock);
} listed_socks SEC(".maps");

/*
 * Whether a process need not be listed as one that has this socket: it has been, or others have,
 * among them one of the user who created it.
 */
static __always_inline bool is_listed(struct sock *sk, struct task_struct *task)
{
	__u64 key = (__u64)sk;
	struct listed_sock now = {.pass = listing, .tgid = BPF_CORE_READ(task, tgid), .holders = 1};
	struct listed_sock *last = bpf_map_lookup_elem(&listed_socks, &key);
	__u32 creator = BPF_CORE_READ(sk, sk_uid.val);
	const struct cred *cred = BPF_CORE_READ(task, cred);

	now.by_creator =
		BPF_CORE_READ(cred, uid.val) == creator || effective_uid(task, true) == creator;
	if (last && last->pass == now.pass) {
		if (last->tgid == now.tgid ||
		    (last->holders >= LISTED_HOLDERS && (last->by_creator || !now.by_creator)))
			return true;
		now.holders += last->holders;
		now.by_creator |= last->by_creator;
	}
	bpf_map_update_elem(&listed_socks, &key, &now, BPF_ANY);
	return false;
}

static __always_inline bool is_inet(const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

/*
 * Whether a TCP connection began here: its SYN is among the bytes that the peer has acknowledged,
 * and in no other count. One that was accepted has sent none as itself. Any user may listen on the
 * port of their connections.
 */
static __always_inline bool has_sent_syn(const struct sock *sk, __u32 state)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u64 acked = BPF_CORE_READ(tp, bytes_acked);
	__u64 sent = BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);
	__u32 nxt = BPF_CORE_READ(tp, snd_nxt);
	__u32 fin = state != BPF_TCP_ESTABLISHED && state != BPF_TCP_CLOSE_WAIT &&
		    BPF_CORE_READ(tp, write_seq) == nxt;

	if (state == BPF_TCP_SYN_SENT)
		return true;
	return acked + (__u32)(nxt - BPF_CORE_READ(tp, snd_una)) - sent - fin == 1;
}

static __always_inline void write_open_sock(struct seq_file *seq, struct task_struct *task,
					    const struct sock *sk, struct egrets_open_sock *e)
{
	e->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	/*
	 * The hooks create an entry before an attempt begins and delete it after it has ended. So a
	 * socket that has none, before and after its state was read, is older than they are.
	 */
	e->known = !!bpf_map_lookup_elem(&socks, &e->cookie);
	e->protocol = BPF_CORE_READ(sk, sk_protocol);
	e->sock_type = BPF_CORE_READ(sk, sk_type);
	e->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	fill_owner_of(&e->owner, task, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	e->share = share_of(task, true);
	e->creator = BPF_CORE_READ(sk, sk_uid.val);
	e->cgroup_id = socket_cgroup(sk);
	if (e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_MPTCP) {
		struct egrets_tls_overhead tls = {};

		tls_overhead(sk, &tls, false);
		e->has_bytes = tcp_counters(sk, &tls, &e->tx_bytes, &e->rx_bytes, false);
		e->dialled = e->protocol == IPPROTO_TCP && has_sent_syn(sk, e->state);
	}
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &e->cookie);

	if (s) {
		s->sk = (__u64)sk; /* userspace created the entry without it */
		e->known = 1;
	}
	e->src.port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	e->dst.port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		set_ipv4(e->src.addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		set_ipv4(e->dst.addr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&e->src.addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&e->dst.addr, sk, __sk_common.skc_v6_daddr);
	}
	bpf_seq_write(seq, e, sizeof(*e));
}

/* A file of a process, and the paths of an MPTCP socket, which are no files. */
static __always_inline void write_open_socks(struct seq_file *seq, struct task_struct *task,
					     struct file *file, __u32 fd)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct egrets_open_sock e = {};

	/* O_PATH opens the inode of a Unix socket, without a socket behind it */
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK || !socket)
		return;
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!sk || !is_inet(sk) || is_listed(sk, task))
		return;
	e.inode = BPF_CORE_READ(inode, i_ino);
	e.fd = fd;
	const struct sock *at = sk;
	const struct list_head *node = NULL;
	bool has_paths = bpf_core_type_exists(struct mptcp_subflow_context) &&
			 BPF_CORE_READ(sk, sk_protocol) == IPPROTO_MPTCP;

	for (int i = 0; i <= MPTCP_PATHS && at; i++) {
		e.is_path = at != sk;
		write_open_sock(seq, task, at, &e);
		if (!has_paths)
			return;
		node = BPF_CORE_READ(node ? node : mptcp_paths(sk), next);
		at = node && node != mptcp_paths(sk) ? mptcp_path(node) : NULL;
		/* the list is read without its lock: its memory may be another socket's by now */
		if (at && mptcp_parent(at) != sk)
			break;
	}
}

#endif
