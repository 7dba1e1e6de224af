/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whose socket it is, from its creation, connect or sendmsg (process context) to its
 * release: the owner map.
 */
#ifndef EGRETS_SOCKET_H
#define EGRETS_SOCKET_H

#define SOCK_COMMON_LEN 64 /* skc_net is well within, on every kernel */

/* DNS; multicast DNS, RFC 6762; LLMNR, RFC 4795; and those that are configured. */
const volatile __u16 dns_ports[EGRETS_DNS_PORTS] = {53, 5353, 5355};

/*
 * A plain hash, emptied at sock_release: an LRU would lose in silence and could
 * be flooded. Not preallocated, because most hosts need a hundredth of it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* socket cookie */
	__type(value, struct egrets_sock);
} socks SEC(".maps");

static __always_inline bool is_dns_port(__u16 port)
{
	for (int i = 0; i < EGRETS_DNS_PORTS; i++)
		if (port && port == dns_ports[i])
			return true;
	return false;
}

/* To dial "any" is to dial loopback (ip_route_output_key, ip6_route_output). */
static __always_inline void ipv4_destination(struct egrets_endpoint *dst, struct bpf_sock_addr *ctx)
{
	__be32 ip = ctx->user_ip4;

	set_ipv4(dst->addr, ip ? ip : bpf_htonl(0x7f000001)); /* INADDR_LOOPBACK */
	dst->port = bpf_ntohs((__u16)ctx->user_port);
}

static __always_inline void ipv6_destination(struct egrets_endpoint *dst, struct bpf_sock_addr *ctx)
{
	__u32 ip[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	if (!ip[0] && !ip[1] && !ip[3]) {
		if (!ip[2])
			ip[3] = bpf_htonl(1); /* ::1 */
		else if (ip[2] == bpf_htonl(0xffff))
			ip[3] = bpf_htonl(0x7f000001); /* ::ffff:127.0.0.1 */
	}
	__builtin_memcpy(dst->addr, ip, sizeof(ip));
	dst->port = bpf_ntohs((__u16)ctx->user_port);
}

static __always_inline bool is_tcp(__u32 type, __u32 protocol)
{
	return type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

static __always_inline bool is_udp(__u32 type, __u32 protocol)
{
	return type == SOCK_DGRAM && protocol == IPPROTO_UDP;
}

/* In the context of a process that uses the socket: whether it is another than the owner. */
static __always_inline void note_holder(struct egrets_sock *s)
{
	__u32 tgid = current_tgid();

	if (tgid != s->owner.tgid && !is_kernel_thread())
		s->shared_tgid = tgid;
}

/* The socket's entry, made where it has none yet. `sk` is a struct sock's address. */
static __always_inline struct egrets_sock *own(__u64 cookie, const void *sk,
					       const struct egrets_owner *owner)
{
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s)
		return s;
	struct egrets_sock fresh = {};

	fresh.owner = *owner;
	fresh.sk = (__u64)sk;
	/* another thread may make it at the same time */
	bpf_map_update_elem(&socks, &cookie, &fresh, BPF_NOEXIST);
	s = bpf_map_lookup_elem(&socks, &cookie);
	if (!s)
		count_lost(EGRETS_OWNER);
	return s;
}

/*
 * The socket's own network namespace: its process may be in another by now. The
 * verifier takes the socket's pointer only as it is, so the start of the struct
 * is copied and the field, whose offset CO-RE makes a constant, is read there.
 */
static __always_inline __u32 netns_of(const void *sk)
{
	__u8 common[SOCK_COMMON_LEN] = {};

	if (!sk || bpf_probe_read_kernel(common, sizeof(common), sk))
		return 0;
	__u64 off = bpf_core_field_offset(struct sock_common, skc_net);

	barrier_var(off); /* or clang folds it into the load, which CO-RE refuses */
	struct net *net = *(struct net **)(common + off);

	return BPF_CORE_READ(net, ns.inum);
}

static __always_inline void fill_sock_owner(struct egrets_owner *owner, struct bpf_sock_addr *ctx)
{
	fill_owner(owner);
	owner->netns_cookie = bpf_get_netns_cookie(ctx);
	owner->netns = netns_of(ctx->sk);
}

/* connect on a TCP socket: an attempt begins. */
static __always_inline void tcp_attempt(struct bpf_sock_addr *ctx,
					const struct egrets_endpoint *dst)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct egrets_connect *e;
	struct egrets_owner owner = {};

	fill_sock_owner(&owner, ctx);
	struct egrets_sock *s = own(cookie, ctx->sk, &owner);

	if (s) {
		note_holder(s);
		/* of an earlier attempt, whose end was not seen */
		s->established = 0;
		s->closed = 0;
		s->dns = is_dns_port(dst->port);
		s->last = *dst;
	}
	call_dials(cookie);
	e = RESERVE(struct egrets_connect, EGRETS_CONNECT);
	if (!e)
		return;
	e->owner = owner;
	e->cookie = cookie;
	e->dst = *dst;
	submit(e);
}

/*
 * connect or sendmsg on a UDP socket names a destination. It is kept for the
 * first packet: glibc connects to every address of an answer and sends nothing.
 */
static __always_inline void udp_destination(struct bpf_sock_addr *ctx,
					    const struct egrets_endpoint *dst)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct egrets_flow_key key;
	struct egrets_owner owner = {};

	flow_key(&key, cookie, dst);
	if (bpf_map_lookup_elem(&inbound, &key))
		return;
	fill_sock_owner(&owner, ctx);
	struct egrets_sock *s = own(cookie, ctx->sk, &owner);

	if (!s)
		return;
	note_holder(s);
	s->last = *dst;
	if (is_dns_port(dst->port))
		s->dns = 1;
	if (!bpf_map_lookup_elem(&flows, &key))
		add_flow(s, &key, dst);
}

static __always_inline void destination(struct bpf_sock_addr *ctx, struct egrets_endpoint *dst)
{
	if (current_tgid() == self_tgid)
		return;
	if (is_tcp(ctx->type, ctx->protocol)) {
		dst->protocol = IPPROTO_TCP;
		tcp_attempt(ctx, dst);
	} else if (is_udp(ctx->type, ctx->protocol)) {
		dst->protocol = IPPROTO_UDP;
		udp_destination(ctx, dst);
	}
}

/*
 * The kernel's own counters of a connection's payload, without retransmissions and
 * what TLS adds. False where it has none: MPTCP's came with 6.5.
 */
static __always_inline bool carried(const struct sock *sk, const struct egrets_added *added,
				    __u64 *tx, __u64 *rx)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	const struct mptcp_sock *msk = (const struct mptcp_sock *)sk;

	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP) {
		/* bytes_received counts the peer's FIN, which sets SOCK_DONE (tcp_fin) */
		__u64 fin = (BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE) & 1;
		__u64 received = BPF_CORE_READ(tp, bytes_received);
		__u64 sent = BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);

		*tx = sent > added->tx ? sent - added->tx : 0;
		*rx = received > fin + added->rx ? received - fin - added->rx : 0;
		return true;
	}
	if (!bpf_core_field_exists(msk->bytes_sent))
		return false;
	/* bytes_sent is without what was sent again (mptcp_update_post_push) */
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
	e->has_bytes = carried(sk, &s->added, &e->tx_bytes, &e->rx_bytes);
	submit(e);
}

static __always_inline void state_changed(const struct sock *sk, int old_state, int new_state)
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
		count_lost(EGRETS_ESTABLISHED); /* skipped by the kernel, with all copies */
	s->established = 1;
	s->sk = (__u64)sk;
	__u32 err = BPF_CORE_READ(sk, sk_err);
	bool tls = tls_added(sk, &s->added);

	/*
	 * Of what came in TLS knows no more than its process has read. The kernel's own sockets
	 * have no release that could tell it later.
	 */
	if (kind == EGRETS_CLOSE && tls && !s->released &&
	    !BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock)) {
		s->err = err;
		s->closed = 1;
		return;
	}
	report_state(kind, sk, cookie, s, err, was_open);
	/* all is told; should its process try again, connect makes a new entry */
	if (new_state == BPF_TCP_CLOSE)
		bpf_map_delete_elem(&socks, &cookie);
}

/*
 * A socket that is released and closed while its entry is still there: whether the CLOSE of an
 * attempt or a connection was skipped by the kernel, with all copies. An attempt that failed at
 * once made none, and sent no SYN.
 */
static __always_inline bool close_skipped(const struct bpf_sock *ctx, const struct egrets_sock *s)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)s->sk;

	return s->established || (ctx->protocol == IPPROTO_TCP && BPF_CORE_READ(tp, segs_out) > 0);
}

/*
 * The last process lets go of the socket. TCP may go on closing without it, and so may
 * SCTP and DCCP while they have something open.
 */
static __always_inline void release(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s)
		return;
	/* TCP's, where there was a connection */
	const struct sock *sk = s->established ? (const struct sock *)s->sk : NULL;

	note_holder(s);
	s->released = 1;
	if (sk)
		tls_added(sk, &s->added);
	if (s->associations) {
		report_release(cookie, s, &s->head, true);
		return;
	}
	if (s->kind || ctx->protocol == IPPROTO_UDP) {
		end_flows(cookie, s);
	} else if (sk && s->closed) {
		report_state(EGRETS_CLOSE, sk, cookie, s, s->err, true);
	} else if (ctx->state == BPF_TCP_CLOSE) {
		if (close_skipped(ctx, s))
			count_lost(EGRETS_CLOSE);
		if (sk)
			report_state(EGRETS_CLOSE, sk, cookie, s, BPF_CORE_READ(sk, sk_err), true);
		else
			report_release(cookie, s, NULL, false);
	} else {
		return; /* its CLOSE is still to come */
	}
	bpf_map_delete_elem(&socks, &cookie);
}

#endif
