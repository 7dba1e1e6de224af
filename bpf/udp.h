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
#include "uapi.h"

static __always_inline bool is_udp(__u32 type, __u32 protocol)
{
	return type == SOCK_DGRAM && protocol == IPPROTO_UDP;
}

/*
 * connect or sendmsg names a destination. The flow is reported with its first packet: glibc
 * connects to every address of an answer and sends nothing. It belongs to the process that
 * named the destination last: the socket may have come from another one, or be older than an
 * exec or a change of the user.
 */
static __always_inline void udp_destination(struct bpf_sock_addr *ctx,
					    const struct egrets_endpoint *dst)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct egrets_flow *flow = NULL;
	struct egrets_flow_key key;
	struct egrets_owner owner = {};

	flow_key(&key, cookie, dst);
	if (s)
		flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->state == FLOW_PENDING) {
		fill_sock_owner(&owner, ctx, NULL);
		if (!s)
			s = sock_get_or_create(cookie, ctx->sk, &owner, task_is_typed);
		if (!s)
			return;
		if (flow)
			flow->owner = owner;
		else if (s->answered < ANSWERED_PER_SOCKET || !bpf_map_lookup_elem(&inbound, &key))
			flow_create(s, &key, &owner);
	}
	mark_shared(s);
	s->last_dst = *dst;
	if (is_dns_port(dst->port))
		s->dns = 1;
}

/*
 * The flow of a packet, created if there is none; NULL, and counted, without room. key
 * becomes its key.
 */
static __always_inline struct egrets_flow *udp_flow(struct __sk_buff *skb, const struct packet *p,
						    struct egrets_sock *s,
						    struct egrets_flow_key *key)
{
	const struct egrets_owner *owner = &s->owner;
	struct egrets_flow *flow = NULL;

	if (!p->routed)
		flow = bpf_map_lookup_elem(&flows, key);
	if (flow)
		return flow;
	struct inbound *seen = bpf_map_lookup_elem(&inbound, key);
	bool answer = seen && is_way_back(skb, seen);

	if (!answer && s->last_dst.protocol) {
		/* NAT or a source route has changed the destination: it is the last one named */
		key->peer = s->last_dst;
		flow = bpf_map_lookup_elem(&flows, key);
	}
	if (p->routed) {
		if (flow)
			owner = &flow->owner;
		key->peer.route = s->route;
		flow = bpf_map_lookup_elem(&flows, key);
	}
	if (flow)
		return flow;
	if (!answer || s->answered < ANSWERED_PER_SOCKET)
		flow = flow_create(s, key, owner);
	if (flow)
		return flow;
	flow = other_flow(s, key, answer);
	if (flow)
		other_begin(p, flow, s, key, answer ? seen : NULL);
	return flow;
}

/*
 * Most packets: of a flow that is known, to or from its own destination, and no DNS. False for
 * all others, which udp_sent() and udp_received() take.
 */
static __always_inline bool udp_known(struct __sk_buff *skb, struct packet *p,
				      struct egrets_sock *s, __u64 cookie, bool egress)
{
	const struct egrets_endpoint *peer = egress ? &p->dst : &p->src;
	struct egrets_flow_key key;

	if (p->routed || s->route || is_dns_port(peer->port))
		return false;
	flow_key(&key, cookie, peer);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow || (egress && (flow->state == FLOW_PENDING || is_turned(skb, flow))))
		return false;
	set_payload(skb, p, p->header + UDP_HEADER_LEN);
	flow_account(skb, flow, egress ? &flow->tx_bytes : &flow->rx_bytes,
		     egress ? &flow->tx_packets : &flow->rx_packets, p->len);
	return true;
}

/*
 * The same of a socket that has named no destination, and so has no flows: most packets to a server
 * that only receives.
 */
static __always_inline bool inbound_known(struct __sk_buff *skb, struct packet *p, __u64 cookie)
{
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->src);
	set_payload(skb, p, p->header + UDP_HEADER_LEN);
	return count_inbound(skb, p, &key);
}

static __always_inline void udp_egress(struct __sk_buff *skb, struct packet *p,
				       struct egrets_sock *s, __u64 cookie)
{
	const struct egrets_owner *owner = &s->owner;
	struct egrets_endpoint server = p->dst;
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->dst);
	s->route = p->routed ? route_hash(p->dst.addr) : EGRETS_DIRECT;
	struct egrets_flow *flow = udp_flow(skb, p, s, &key);

	if (flow) {
		flow_account(skb, flow, &flow->tx_bytes, &flow->tx_packets, p->len);
		if (flow->state == FLOW_PENDING || is_turned(skb, flow))
			flow_begin(skb, p, flow, s, &key);
		if (flow->owned)
			owner = &flow->owner;
		if (key.peer.port)
			server = key.peer;
	}
	/* also if the map has no room for the flow: naming must go on */
	server.route = EGRETS_DIRECT;
	if (is_dns_port(server.port))
		copy_dns(skb, p, s, owner, cookie, &server, false, false);
}

/* s is NULL for a socket that has named no destination. */
static __always_inline void udp_ingress(struct __sk_buff *skb, struct packet *p,
					struct egrets_sock *s, __u64 cookie)
{
	const struct egrets_owner *owner = NULL;
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->src);
	if (s) {
		owner = &s->owner;
		key.peer.route = s->route;
	}
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow && key.peer.route) {
		key.peer.route = EGRETS_DIRECT;
		flow = bpf_map_lookup_elem(&flows, &key);
	}
	if (flow) {
		flow_account(skb, flow, &flow->rx_bytes, &flow->rx_packets, p->len);
		if (flow->owned)
			owner = &flow->owner;
	} else {
		mark_inbound(skb, p, s, &key);
	}
	/* also from a server that this DNS client never queried: unsolicited */
	if (s && owner && s->dns && is_dns_port(p->src.port))
		copy_dns(skb, p, s, owner, cookie, &p->src, true, false);
}

/* Packets that udp_known() did not take. Global functions, verified once. */

__noinline int udp_sent(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct packet p = {};

	if (s && parse_skb(skb, &p)) {
		set_payload(skb, &p, p.header + UDP_HEADER_LEN);
		udp_egress(skb, &p, s, cookie);
	}
	return 0;
}

__noinline int udp_received(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct packet p = {};

	if (parse_skb(skb, &p)) {
		set_payload(skb, &p, p.header + UDP_HEADER_LEN);
		udp_ingress(skb, &p, s, cookie);
	}
	return 0;
}

#endif
