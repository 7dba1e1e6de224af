/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* TCP: attempts, their outcome, bytes; DNS over TCP. */
#ifndef EGRETS_TCP_H
#define EGRETS_TCP_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "connect_errno.h"
#include "dns.h"
#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "ktls.h"
#include "maps.h"
#include "owner.h"
#include "ring.h"
#include "uapi.h"

#define TCP_FLAG_SYN 0x02 /* RFC 9293, section 3.1 */

struct tcp_header { /* RFC 9293, section 3.1 */
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 data_offset; /* in words, in its upper half */
	__u8 flags;
};

static __always_inline bool is_tcp(__u32 type, __u32 protocol)
{
	return type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

/* connect on a TCP socket: an attempt begins. */
static __always_inline void tcp_attempt(struct bpf_sock_addr *ctx,
					const struct egrets_endpoint *dst)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct egrets_connect *e;
	struct egrets_owner owner = {};

	fill_sock_owner(&owner, ctx);
	struct egrets_sock *s = sock_get_or_create(cookie, ctx->sk, &owner);

	if (s) {
		mark_shared(s);
		/* of an earlier attempt, whose end was missed */
		s->established = 0;
		s->close_pending = 0;
		s->dns = is_dns_port(dst->port);
		s->last_dst = *dst;
	}
	connect_started(cookie);
	e = RESERVE(struct egrets_connect, EGRETS_CONNECT);
	if (!e)
		return;
	e->owner = owner;
	e->cookie = cookie;
	e->dst = *dst;
	submit(e);
}

/*
 * The kernel's own counters of a connection's payload, without retransmissions and the
 * overhead of TLS. False if it has none: MPTCP's came with 6.5.
 */
static __always_inline bool
tcp_counters(const struct sock *sk, const struct egrets_tls_overhead *tls, __u64 *tx, __u64 *rx)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	const struct mptcp_sock *msk = (const struct mptcp_sock *)sk;

	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP) {
		/* bytes_received counts the peer's FIN, which sets SOCK_DONE (tcp_fin) */
		__u64 fin = (BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE) & 1;
		__u64 received = BPF_CORE_READ(tp, bytes_received);
		__u64 sent = BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);

		*tx = sent > tls->tx ? sent - tls->tx : 0;
		*rx = received > fin + tls->rx ? received - fin - tls->rx : 0;
		return true;
	}
	if (!bpf_core_field_exists(msk->bytes_sent))
		return false;
	/* bytes_sent excludes retransmissions (mptcp_update_post_push) */
	*tx = BPF_CORE_READ(msk, bytes_sent);
	*rx = BPF_CORE_READ(msk, bytes_received);
	return true;
}

/* EGRETS_ESTABLISHED or EGRETS_CLOSE. */
static __always_inline void report_state(__u32 kind, const struct sock *sk, __u64 cookie,
					 const struct egrets_sock *s, __u32 err, bool was_open)
{
	struct egrets_state *e = RESERVE(struct egrets_state, kind);

	if (!e)
		return;
	e->cookie = cookie;
	e->err = err;
	e->was_open = was_open;
	/* skc_num is 0 already at CLOSE */
	e->src.port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		set_ipv4(e->src.addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO(&e->src.addr, sk, __sk_common.skc_v6_rcv_saddr);
	e->shared_tgid = s->shared_tgid;
	e->has_bytes = tcp_counters(sk, &s->tls, &e->tx_bytes, &e->rx_bytes);
	submit(e);
}

static __always_inline void tcp_state_changed(const struct sock *sk, int old_state, int new_state)
{
	__u32 kind = new_state == BPF_TCP_CLOSE ? EGRETS_CLOSE : EGRETS_ESTABLISHED;

	/* before anything is read: most changes are others */
	if (new_state != BPF_TCP_ESTABLISHED && new_state != BPF_TCP_CLOSE)
		return;
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
		return;
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s || (s->established && kind == EGRETS_ESTABLISHED))
		return;
	bool was_open = old_state != BPF_TCP_CLOSE && old_state != BPF_TCP_LISTEN &&
			old_state != BPF_TCP_SYN_SENT && old_state != BPF_TCP_SYN_RECV;

	if (kind == EGRETS_CLOSE && was_open && !s->established)
		count_lost(EGRETS_ESTABLISHED); /* the kernel skipped all copies */
	s->established = 1;
	s->sk = (__u64)sk;
	__u32 err = BPF_CORE_READ(sk, sk_err);
	bool tls = tls_overhead(sk, &s->tls);

	/*
	 * TLS counts what came in only up to where the process has read, so the release reports
	 * this. The kernel's own sockets have no release.
	 */
	if (kind == EGRETS_CLOSE && tls && !s->released &&
	    !BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock)) {
		s->err = err;
		s->close_pending = 1;
		return;
	}
	report_state(kind, sk, cookie, s, err, was_open);
	/* if the process tries again, connect creates a new entry */
	if (new_state == BPF_TCP_CLOSE)
		sock_delete(cookie, s);
}

/*
 * The socket is released, closed, and has still an entry: whether the kernel skipped all
 * copies at the CLOSE of an attempt or a connection. An attempt that failed at once had no
 * CLOSE, and sent no SYN.
 */
static __always_inline bool close_skipped(const struct bpf_sock *ctx, const struct egrets_sock *s)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)s->sk;

	return s->established || (ctx->protocol == IPPROTO_TCP && BPF_CORE_READ(tp, segs_out) > 0);
}

/* False if its CLOSE is still to come. sk is NULL if there was no connection. */
static __always_inline bool tcp_release(const struct bpf_sock *ctx, const struct egrets_sock *s,
					const struct sock *sk, __u64 cookie)
{
	if (sk && s->close_pending) {
		report_state(EGRETS_CLOSE, sk, cookie, s, s->err, true);
		return true;
	}
	if (ctx->state != BPF_TCP_CLOSE)
		return false;
	if (close_skipped(ctx, s))
		count_lost(EGRETS_CLOSE);
	if (sk)
		report_state(EGRETS_CLOSE, sk, cookie, s, BPF_CORE_READ(sk, sk_err), true);
	else
		report_release(cookie, s, NULL, false);
	return true;
}

/*
 * Most packets are TCP's and of no interest: the socket's own ports, which NAT leaves alone,
 * show it before anything is parsed. A raw socket, which may write TCP too, has its protocol
 * for a port (inet_create, net/ipv4/af_inet.c).
 */
static __always_inline bool is_plain_tcp(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv4_header *ip = data;
	struct ipv6_header *ip6 = data;
	struct bpf_sock *sk = skb->sk;

	if (!sk || is_dns_port(bpf_ntohs(sk->dst_port)))
		return false;
	if (sk->src_port < IPPROTO_MAX) {
		struct bpf_sock *full = bpf_sk_fullsock(sk);

		if (!full || full->type == SOCK_RAW)
			return false;
	}
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return (void *)(ip + 1) <= end && ip->protocol == IPPROTO_TCP &&
		       ip->version_ihl == 0x45; /* without a source route */
	return (void *)(ip6 + 1) <= end && ip6->next_header == IPPROTO_TCP;
}

/* DNS over TCP. */
static __always_inline void tcp_segment(struct __sk_buff *skb, struct packet *p,
					struct egrets_sock *s, __u64 cookie, bool ingress)
{
	struct tcp_header tcp;

	if (!s->dns || p->headless || bpf_skb_load_bytes(skb, p->header, &tcp, sizeof(tcp)))
		return;
	set_payload(skb, p, p->header + (tcp.data_offset >> 4) * 4);
	/* a SYN takes a sequence number of its own, before the data of TCP Fast Open */
	p->seq = bpf_ntohl(tcp.seq) + !!(tcp.flags & TCP_FLAG_SYN);
	p->ack = bpf_ntohl(tcp.ack_seq);
	if (p->len)
		copy_dns(skb, p, s, &s->owner, cookie, &s->last_dst, ingress, true);
}

#endif
