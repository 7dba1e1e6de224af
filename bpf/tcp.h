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
#include "mptcp.h"
#include "owner.h"
#include "ring.h"
#include "uapi.h"

#define TCP_FLAG_SYN 0x02 /* RFC 9293, section 3.1 */

static __always_inline bool is_tcp(__u32 type, __u32 protocol)
{
	return type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

/*
 * 1 once a socket found no room in socks: from then on the states of sockets without an entry
 * are reported too, by their cookies alone. Those without an attempt mean nothing to userspace.
 */
__u32 socks_overflowed;

/* connect on a TCP socket: an attempt begins. */
static __always_inline void tcp_attempt(struct bpf_sock_addr *ctx,
					const struct egrets_endpoint *dst)
{
	const struct sock *tcp = ctx->sk ? typed_tcp(ctx->sk) : NULL;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct egrets_connect *e;
	struct egrets_owner owner = {};

	fill_sock_owner(&owner, ctx, tcp);
	if (!tcp || has_ulp(tcp))
		mptcp_owner(&owner, address_of(ctx->sk));
	struct egrets_sock *s = sock_get_or_create(cookie, ctx->sk, &owner, task_is_typed);

	if (s) {
		mark_shared(s);
		if (!owner.tgid && !s->unowned) {
			s->unowned = 1;
			__sync_fetch_and_add(&unowned_socks, 1);
		}
		/* of an earlier attempt, whose end was missed */
		s->established = 0;
		s->close_pending = 0;
		s->dns = is_dns_port(dst->port);
		s->last_dst = *dst;
	} else {
		socks_overflowed = 1;
	}
	connect_started(cookie);
	e = RESERVE(struct egrets_connect, EGRETS_CONNECT,
		    s ? s->share : share_for(&owner, task_is_typed));
	if (!e)
		return;
	e->owner = owner;
	e->cookie = cookie;
	e->dst = *dst;
	submit(e);
}

/* Payload sent: what was sent again counts once. */
static __always_inline __u64 tcp_bytes_sent(const struct sock *sk, bool typed)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u64 acked = READ(typed, tp, bytes_acked); /* with SYN and FIN */
	__u64 sent = READ(typed, tp, bytes_sent);
	__u64 again = READ(typed, tp, bytes_retrans);
	__u64 once = sent > again ? sent - again : 0;

	/* what MPTCP sends again over another path counts where it is acknowledged */
	if (is_mptcp(sk, typed)) {
		acked -= !!acked;
		acked = acked < once ? acked : once;
		return mptcp_limit(sk, acked);
	}
	/* in TCP_REPAIR the first transmission counts as another one */
	return acked > once + 2 ? acked - 2 : once;
}

/*
 * The kernel's own counters of a connection's payload, without retransmissions and the
 * overhead of TLS. False if it has none: MPTCP's came with 6.5.
 */
static __always_inline bool tcp_counters(const struct sock *sk,
					 const struct egrets_tls_overhead *tls, __u64 *tx,
					 __u64 *rx, bool typed)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	const struct mptcp_sock *msk = (const struct mptcp_sock *)sk;

	if (READ(typed, sk, sk_protocol) == IPPROTO_TCP) {
		/* bytes_received counts the peer's FIN, which sets SOCK_DONE (tcp_fin) */
		__u64 fin = (READ(typed, sk, __sk_common.skc_flags) >> SOCK_DONE) & 1;
		__u64 received = READ(typed, tp, bytes_received);
		__u64 sent = tcp_bytes_sent(sk, typed);

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
static __always_inline void report_state(__u32 kind, __u32 id, const struct sock *sk, __u64 cookie,
					 const struct egrets_tls_overhead *tls, __u32 shared_tgid,
					 __u32 err, bool was_open, bool typed)
{
	struct egrets_state *e = RESERVE(struct egrets_state, kind, id);

	if (!e)
		return;
	e->cookie = cookie;
	e->err = err;
	e->was_open = was_open;
	/* skc_num is 0 already at CLOSE */
	e->src.port = bpf_ntohs(READ(typed, (const struct inet_sock *)sk, inet_sport));
	if (READ(typed, sk, __sk_common.skc_family) == AF_INET)
		set_ipv4(e->src.addr, READ(typed, sk, __sk_common.skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO(&e->src.addr, sk, __sk_common.skc_v6_rcv_saddr);
	e->shared_tgid = shared_tgid;
	e->has_bytes = tcp_counters(sk, tls, &e->tx_bytes, &e->rx_bytes, typed);
	submit(e);
}

/* Of a socket that is typed. */
static __always_inline void tcp_state_changed(const struct sock *sk, __u64 cookie, int old_state,
					      int new_state)
{
	__u32 kind = new_state == BPF_TCP_CLOSE ? EGRETS_CLOSE : EGRETS_ESTABLISHED;
	bool was_open = old_state != BPF_TCP_CLOSE && old_state != BPF_TCP_LISTEN &&
			old_state != BPF_TCP_SYN_SENT && old_state != BPF_TCP_SYN_RECV;
	struct egrets_tls_overhead overhead = {};

	/* before anything is read: most changes are others */
	if (new_state != BPF_TCP_ESTABLISHED && new_state != BPF_TCP_CLOSE)
		return;
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s ? s->established && kind == EGRETS_ESTABLISHED : !socks_overflowed)
		return;
	__u32 err = 0;

	if (kind == EGRETS_CLOSE)
		err = was_open ? sk->sk_err : attempt_error(sk, true);

	if (!s) {
		tls_overhead(sk, &overhead, true);
		report_state(kind, share_of_socket(sk), sk, cookie, &overhead, 0, err, was_open,
			     true);
		return;
	}
	if (kind == EGRETS_CLOSE && was_open && !s->established)
		count_lost(EGRETS_ESTABLISHED); /* another program had cleared the flag */
	s->established = 1;
	s->sk = (__u64)sk;
	bool tls = tls_overhead(sk, &s->tls, true);

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
	report_state(kind, s->share, sk, cookie, &s->tls, s->shared_tgid, err, was_open, true);
	/* if the process tries again, connect creates a new entry */
	if (new_state == BPF_TCP_CLOSE)
		sock_delete(cookie, s);
}

/*
 * What TCP does, in the context of any process or none. Only who dials requests changes of
 * state; programs of child cgroups, which run before, may have cleared the request. Each field
 * of the context is read in one place, or clang computes its address, which may not be used.
 */
static __always_inline void on_sock_ops(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;
	bool dials = op == BPF_SOCK_OPS_TCP_CONNECT_CB;

	if (dials && current_thread() >> 32 == self_tgid)
		return;
	if (!dials && op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_STATE_CB &&
	    ctx->state != BPF_TCP_SYN_SENT)
		return;
	__u32 flags = ctx->bpf_sock_ops_cb_flags;
	bool requested = flags & BPF_SOCK_OPS_STATE_CB_FLAG;

	if (!requested)
		bpf_sock_ops_cb_flags_set(ctx, flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (dials)
		connect_sends();
	bool is_state = op == BPF_SOCK_OPS_STATE_CB;

	/* established: reported already, unless it is older than egrets or had no request */
	if (!is_state && (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || requested))
		return;
	__u32 old_state = is_state ? ctx->args[0] : BPF_TCP_SYN_SENT;
	__u32 new_state = is_state ? ctx->args[1] : BPF_TCP_ESTABLISHED;
	struct bpf_sock *common = ctx->sk;
	const struct sock *sk = common ? typed_tcp(common) : NULL;

	if (sk)
		tcp_state_changed(sk, bpf_get_socket_cookie(ctx), old_state, new_state);
}

static __always_inline bool states_requested(const struct sock *sk, bool typed)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;

	return READ(typed, tp, bpf_sock_ops_cb_flags) & BPF_SOCK_OPS_STATE_CB_FLAG;
}

/* A tracepoint of all sockets: those that egrets_sock_ops does not see, older than egrets. */
static __always_inline void older_state_changed(const struct sock *sk, int old_state, int new_state)
{
	if (new_state != BPF_TCP_CLOSE || sk->sk_protocol != IPPROTO_TCP)
		return;
	__u64 cookie = sk->__sk_common.skc_cookie.counter;
	const struct sock *tcp = typed_tcp((void *)sk);

	if (cookie && tcp && !states_requested(tcp, true))
		tcp_state_changed(tcp, cookie, old_state, new_state);
}

/*
 * The socket is released, closed, and has still an entry: whether its CLOSE was missed. An
 * attempt that failed at once had no CLOSE, and sent no SYN.
 */
static __always_inline bool close_missed(const struct egrets_sock *s)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)s->sk;

	return s->established || BPF_CORE_READ(tp, segs_out) > 0;
}

/* False if its CLOSE is still to come. sk is NULL if there was no connection. */
static __always_inline bool tcp_release(__u32 state, const struct egrets_sock *s,
					const struct sock *sk, __u64 cookie)
{
	if (sk && s->close_pending) {
		report_state(EGRETS_CLOSE, s->share, sk, cookie, &s->tls, s->shared_tgid, s->err,
			     true, false);
		return true;
	}
	if (state != BPF_TCP_CLOSE) {
		/* TCP_FASTOPEN_CONNECT: nothing was sent, and so no SYN */
		if (state != BPF_TCP_SYN_SENT || states_requested((const void *)s->sk, false))
			return false;
	} else if (close_missed(s)) {
		count_lost(EGRETS_CLOSE);
	}
	if (sk)
		report_state(EGRETS_CLOSE, s->share, sk, cookie, &s->tls, s->shared_tgid,
			     BPF_CORE_READ(sk, sk_err), true, false);
	else
		report_release(cookie, s->share, s->shared_tgid, NULL, false);
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

/* The first hop of a TCP connection with a source route, reported once. */
static __always_inline void tcp_route(const struct packet *p, struct egrets_sock *s, __u64 cookie)
{
	__u32 route = route_hash(p->dst.addr);
	struct egrets_hop *e;

	if (s->route == route)
		return;
	/* before there may be no room: what is lost is counted once, and not with each packet */
	s->route = route;
	e = RESERVE(struct egrets_hop, EGRETS_HOP, s->share);
	if (!e)
		return;
	e->cookie = cookie;
	__builtin_memcpy(e->hop, p->dst.addr, sizeof(e->hop));
	submit(e);
}

/* Whether a packet of TCP has no payload: most of those that begin and end a connection. */
static __always_inline bool is_bare(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv4_header *ip = data;
	struct ipv6_header *ip6 = data;
	struct tcp_header *tcp;
	__u32 header;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		header = sizeof(*ip);
		if ((void *)(ip + 1) > end || ip->version_ihl != 0x45)
			return false;
	} else {
		header = sizeof(*ip6);
		if ((void *)(ip6 + 1) > end || ip6->next_header != IPPROTO_TCP)
			return false;
	}
	tcp = data + header;
	return (void *)(tcp + 1) <= end && skb->len <= header + (tcp->data_offset >> 4) * 4;
}

/* Reads TCP's header of a packet that was parsed; false if there is none. */
static __always_inline bool tcp_payload(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_header tcp;

	if (p->headless || p->dst.protocol != IPPROTO_TCP ||
	    bpf_skb_load_bytes(skb, p->header, &tcp, sizeof(tcp)))
		return false;
	set_payload(skb, p, p->header + (tcp.data_offset >> 4) * 4);
	/* a SYN takes a sequence number of its own, before the data of TCP Fast Open */
	p->seq = bpf_ntohl(tcp.seq) + !!(tcp.flags & TCP_FLAG_SYN);
	p->ack = bpf_ntohl(tcp.ack_seq);
	return true;
}

/* DNS over TCP. */
static __always_inline void tcp_dns(struct __sk_buff *skb, struct packet *p, struct egrets_sock *s,
				    __u64 cookie, bool ingress)
{
	if (tcp_payload(skb, p) && p->len)
		copy_dns(skb, p, s, &s->owner, cookie, &s->last_dst, ingress, true);
}

/* Packets that is_plain_tcp() did not take. Global functions, verified once. */

__noinline int tcp_sent(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct packet p = {};

	if (!s || !parse_skb(skb, &p))
		return 0;
	if (p.routed)
		tcp_route(&p, s, cookie);
	if (s->dns)
		tcp_dns(skb, &p, s, cookie, false);
	return 0;
}

__noinline int tcp_received(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct packet p = {};

	if (s && s->dns && parse_skb(skb, &p))
		tcp_dns(skb, &p, s, cookie, true);
	return 0;
}

#endif
