/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From a hook to the protocol: destinations and releases of sockets, packets. The packet
 * programs see each packet from its IP header on, going out after the firewall and any NAT,
 * coming in before the socket has it and after NAT was undone.
 */
#ifndef EGRETS_SOCK_H
#define EGRETS_SOCK_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "ktls.h"
#include "maps.h"
#include "owner.h"
#include "raw.h"
#include "tcp.h"
#include "udp.h"

/* connect to "any" connects to loopback (ip_route_output_key, ip6_route_output). */
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

static __always_inline void on_sock_addr(struct bpf_sock_addr *ctx, struct egrets_endpoint *dst)
{
	if (is_self())
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
 * The last process closes the socket. TCP may go on closing without it, and so may SCTP
 * while it has associations.
 */
static __always_inline void on_sock_release(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	__u32 type = ctx->type, protocol = ctx->protocol, state = ctx->state;
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s) {
		/* an attempt without an entry that failed at once has no other end */
		if (socks_overflowed && is_tcp(type, protocol) && state == BPF_TCP_CLOSE)
			report_release(cookie, 0, NULL, false);
		return;
	}
	/* of a TCP connection */
	const struct sock *sk = s->established ? (const struct sock *)s->sk : NULL;

	mark_shared(s);
	s->released = 1;
	if (sk)
		tls_overhead(sk, &s->tls);
	if (s->associations) {
		report_release(cookie, s->shared_tgid, &s->newest_flow, true);
		return;
	}
	if (s->kind || protocol == IPPROTO_UDP)
		end_flows(cookie, s);
	else if (protocol != IPPROTO_MPTCP && !tcp_release(state, s, sk, cookie))
		return;
	bpf_map_delete_elem(&socks, &cookie);
}

static __always_inline void on_egress(struct __sk_buff *skb)
{
	struct packet p = {};

	if (is_plain_tcp(skb) || !parse_skb(skb, &p))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s)
		return;
	if (s->kind)
		raw_egress(skb, &p, s, cookie);
	else if (p.dst.protocol == IPPROTO_TCP)
		tcp_segment(skb, &p, s, cookie, false);
	else if (p.dst.protocol == IPPROTO_UDP && !p.headless)
		udp_egress(skb, &p, s, cookie);
}

static __always_inline void on_ingress(struct __sk_buff *skb)
{
	struct packet p = {};

	if (is_plain_tcp(skb) || !parse_skb(skb, &p))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s && s->kind)
		raw_ingress(skb, &p, s, cookie);
	else if (s && p.src.protocol == IPPROTO_TCP)
		tcp_segment(skb, &p, s, cookie, true);
	else if (p.src.protocol == IPPROTO_UDP && !p.headless)
		udp_ingress(skb, &p, s, cookie);
}

#endif
