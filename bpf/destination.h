/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Destinations as connect and sendmsg name them. */
#ifndef EGRETS_DESTINATION_H
#define EGRETS_DESTINATION_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"

/*
 * "Any" as a destination means this host: the address that the socket is bound to
 * (ip_route_output_key_hash_rcu), else loopback.
 */
static __always_inline __be32 ipv4_this_host(__be32 bound)
{
	return bound ? bound : bpf_htonl(0x7f000001); /* INADDR_LOOPBACK */
}

static __always_inline __be32 ipv4_bound(const struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? sk->src_ip4 : 0;
}

static __always_inline void ipv4_destination(struct egrets_endpoint *dst, struct bpf_sock_addr *ctx,
					     __be32 source)
{
	__be32 ip = ctx->user_ip4;

	set_ipv4(dst->addr, ip ? ip : ipv4_this_host(source ? source : ipv4_bound(ctx)));
	dst->port = bpf_ntohs((__u16)ctx->user_port);
}

/*
 * Unlike IPv4, always loopback, of the socket's family: of IPv4 if it is bound to a mapped
 * address (tcp_v6_connect, __ip6_datagram_connect).
 */
static __always_inline void ipv6_destination(struct egrets_endpoint *dst, struct bpf_sock_addr *ctx)
{
	__u32 ip[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	if (!ip[0] && !ip[1] && !ip[3]) {
		struct bpf_sock *sk = ctx->sk;
		__be32 mapped = sk && sk->src_ip6[2] == bpf_htonl(0xffff) ? sk->src_ip6[3] : 0;

		if (!ip[2] && !mapped) {
			ip[3] = bpf_htonl(1); /* ::1 */
		} else if (!ip[2]) {
			ip[2] = bpf_htonl(0xffff);
			ip[3] = bpf_htonl(0x7f000001);
		} else if (ip[2] == bpf_htonl(0xffff)) {
			ip[3] = ipv4_this_host(mapped);
		}
	}
	__builtin_memcpy(dst->addr, ip, sizeof(ip));
	dst->port = bpf_ntohs((__u16)ctx->user_port);
}

#endif
