/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sockets of IP other than TCP and UDP: raw and ping sockets, UDP-Lite, SCTP. Their connect
 * and sendmsg pass no hook that all kernels have, so the owner is the process that creates
 * the socket, and a flow is created with its first packet. Bytes are what the process wrote:
 * the payload where the kernel writes the protocol's header (UDP-Lite, SCTP), else all that
 * follows IP's.
 */
#ifndef EGRETS_RAW_H
#define EGRETS_RAW_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "maps.h"
#include "owner.h"
#include "sctp.h"
#include "tcp.h"
#include "uapi.h"
#include "udp.h"

static __always_inline void on_sock_create(struct bpf_sock *ctx)
{
	struct egrets_owner owner = {};

	__u32 type = ctx->type, protocol = ctx->protocol;

	if (protocol == IPPROTO_MPTCP)
		bpf_get_socket_cookie(ctx); /* assigns it: see mptcp_owner */
	if (is_tcp(type, protocol) || is_udp(type, protocol) || is_self())
		return;
	__u64 cookie = bpf_get_socket_cookie(ctx);

	fill_process(&owner, current_task(false), false);
	owner.netns_cookie = bpf_get_netns_cookie(ctx);
	owner.netns = netns_of(ctx);
	struct egrets_sock *s = sock_get_or_create(cookie, ctx, &owner, false);

	if (s)
		s->kind = type == SOCK_RAW ? EGRETS_RAW : EGRETS_OTHER;
}

static __always_inline void raw_account(struct __sk_buff *skb, const struct packet *p,
					struct egrets_sock *s, const struct egrets_flow_key *key,
					struct egrets_flow *flow, bool out)
{
	struct sctp_summary summary = {.payload = p->len};
	__u64 *bytes = out ? &flow->tx_bytes : &flow->rx_bytes;
	__u64 *packets = out ? &flow->tx_packets : &flow->rx_packets;

	if (s->kind != EGRETS_RAW && !p->headless) {
		if (p->dst.protocol == IPPROTO_UDPLITE)
			summary.payload = p->len > UDP_HEADER_LEN ? p->len - UDP_HEADER_LEN : 0;
		else if (p->dst.protocol == IPPROTO_SCTP)
			sctp_read(skb, p, flow, out, &summary);
	}
	if (summary.foreign)
		return;
	flow_account(skb, flow, bytes, packets, summary.payload);
	sctp_associate(key, flow, s, &summary, out);
}

/*
 * The flow of a packet, created; NULL, and counted, without room. It belongs to the process
 * that sends: the socket may be older than an exec, or have come from another process. SCTP
 * sends in any process' context.
 */
static __always_inline struct egrets_flow *raw_flow(struct __sk_buff *skb, const struct packet *p,
						    struct egrets_sock *s,
						    struct egrets_flow_key *key)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inbound *seen = bpf_map_lookup_elem(&inbound, key);
	bool answer = seen && is_way_back(skb, seen);
	struct egrets_flow *flow = NULL;

	if (!answer || s->answered < ANSWERED_PER_SOCKET)
		flow = flow_create(s, key, &s->owner);
	if (flow) {
		if (p->dst.protocol != IPPROTO_SCTP && !is_kernel_thread())
			fill_process(&flow->owner, task, false);
		return flow;
	}
	flow = other_flow(s, key, answer);
	if (flow)
		other_begin(p, flow, s, key, answer ? seen : NULL);
	return flow;
}

static __always_inline void raw_egress(struct __sk_buff *skb, const struct packet *p,
				       struct egrets_sock *s, __u64 cookie)
{
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow)
		flow = raw_flow(skb, p, s, &key);
	if (!flow)
		return;
	if (flow->state == FLOW_PENDING || is_turned(skb, flow))
		flow_begin(skb, p, flow, s, &key);
	raw_account(skb, p, s, &key, flow, true);
}

/*
 * A raw socket gets a copy of everything that comes in over its protocol, so only what comes
 * from a flow's destination is counted, and no peer is marked as one that sent first.
 */
static __always_inline void raw_ingress(struct __sk_buff *skb, const struct packet *p,
					struct egrets_sock *s, __u64 cookie)
{
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->src);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow) {
		if (s->kind == EGRETS_OTHER)
			mark_inbound(skb, p, s, &key);
		return;
	}
	raw_account(skb, p, s, &key, flow, false);
}

/* Packets of such sockets. Global functions, verified once. */

__noinline int raw_sent(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct packet p = {};

	if (s && parse_skb(skb, &p))
		raw_egress(skb, &p, s, cookie);
	return 0;
}

__noinline int raw_received(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct packet p = {};

	if (s && parse_skb(skb, &p))
		raw_ingress(skb, &p, s, cookie);
	return 0;
}

#endif
