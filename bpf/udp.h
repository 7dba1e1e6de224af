/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* UDP: destinations from connect and sendmsg, flows and DNS from packets. */
#ifndef EGRETS_UDP_H
#define EGRETS_UDP_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "dns.h"
#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "maps.h"
#include "owner.h"

static __always_inline bool is_udp(__u32 type, __u32 protocol)
{
	return type == SOCK_DGRAM && protocol == IPPROTO_UDP;
}

/*
 * connect or sendmsg names a destination. The flow is reported with its first packet: glibc
 * connects to every address of an answer and sends nothing.
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
	struct egrets_sock *s = sock_get_or_create(cookie, ctx->sk, &owner);

	if (!s)
		return;
	mark_shared(s);
	s->last_dst = *dst;
	if (is_dns_port(dst->port))
		s->dns = 1;
	if (!bpf_map_lookup_elem(&flows, &key))
		flow_create(s, &key, dst);
}

static __always_inline void udp_egress(struct __sk_buff *skb, struct packet *p,
				       struct egrets_sock *s, __u64 cookie)
{
	struct egrets_endpoint dst = p->dst;
	struct egrets_flow_key key;

	set_payload(skb, p, p->header + UDP_HEADER_LEN);
	flow_key(&key, cookie, &dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow) {
		if (bpf_map_lookup_elem(&inbound, &key))
			return; /* an answer to a peer that sent first */
		/* NAT has changed the destination: it is the last one named */
		dst = s->last_dst;
		flow_key(&key, cookie, &dst);
		flow = bpf_map_lookup_elem(&flows, &key);
	}
	if (flow) {
		flow_account(skb, flow, &flow->tx_bytes, &flow->tx_packets, p->len);
		if (flow->state == FLOW_PENDING)
			report_flow(p, flow, s, cookie, &dst);
	}
	/* also if the map has no room for the flow: naming must go on */
	if (is_dns_port(dst.port))
		copy_dns(skb, p, s, cookie, &dst, false, false);
}

/* s is NULL for a socket that has named no destination. */
static __always_inline void udp_ingress(struct __sk_buff *skb, struct packet *p,
					struct egrets_sock *s, __u64 cookie)
{
	struct egrets_flow_key key;

	set_payload(skb, p, p->header + UDP_HEADER_LEN);
	flow_key(&key, cookie, &p->src);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (flow)
		flow_account(skb, flow, &flow->rx_bytes, &flow->rx_packets, p->len);
	else
		mark_inbound(&key);
	/* also from a server that this DNS client never queried: unsolicited */
	if (s && s->dns && is_dns_port(p->src.port))
		copy_dns(skb, p, s, cookie, &p->src, true, false);
}

#endif
