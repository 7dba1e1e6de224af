/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packets that netfilter's OUTPUT chain refuses. They never reach the packet programs, so a
 * flow whose packets are all refused is seen here alone: when the kernel frees the packet, in
 * the context of the process that sends. Since 5.17 it says why; before, a packet that is
 * freed with a route and without a device was at OUTPUT, which is before the device is set
 * (ip_output, ip6_output).
 */
#ifndef EGRETS_DENIED_H
#define EGRETS_DENIED_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "dns.h"
#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "maps.h"
#include "packet_sock.h"
#include "raw.h"
#include "uapi.h"

#define DENIED_DNS 512 /* bytes of a query that are copied, RFC 1035, section 2.3.4 */

static __always_inline bool is_denied(const struct sk_buff *skb, const __u64 *args)
{
	const struct sock *sk = BPF_CORE_READ(skb, sk);

	/* skb_iif: it came in, with a socket that was found early */
	if (!sk || skb->skb_iif)
		return false;
	if (bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_NETFILTER_DROP)) {
		if ((__u32)args[2] !=
		    bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NETFILTER_DROP))
			return false;
	} else if (BPF_CORE_READ(skb, dev) || !BPF_CORE_READ(skb, _skb_refdst)) {
		return false;
	}
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

/* A query that was not sent. */
static __always_inline void report_denied_dns(const struct byte_source *from,
					      const struct packet *p,
					      const struct egrets_owner *owner, __u32 id,
					      const struct egrets_flow_key *key)
{
	__u32 at = p->header + UDP_HEADER_LEN;
	__u32 len = from->len > at ? from->len - at : 0;
	struct egrets_dns *e;

	if (!len || len > DENIED_DNS)
		return;
	e = RESERVE_EXTRA(struct egrets_dns, EGRETS_DNS, id, DENIED_DNS);
	if (!e)
		return;
	e->owner = *owner;
	e->cookie = key->cookie;
	e->server = key->peer;
	e->denied = 1;
	e->wire_len = len;
	barrier_var(len);
	if (len <= DENIED_DNS && !bpf_probe_read_kernel(e->payload, len, from->data + at))
		e->len = len;
	submit(e);
}

/* At OUTPUT a packet begins with IP's header. */
static __always_inline void on_denied(const struct sk_buff *skb)
{
	const struct sock *sk = BPF_CORE_READ(skb, sk);
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	__u32 linear = BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len);
	struct byte_source from = {.data = BPF_CORE_READ(skb, data), .len = linear};
	struct flow_start start = {.denied = true};
	struct egrets_flow_key key;
	struct packet p = {};

	if (!s || BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		return;
	parse_network(&from, BPF_CORE_READ(skb, protocol), 0, &p);
	if (!p.dst.protocol)
		return;
	flow_key(&key, cookie, &p.dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow && s->last_dst.protocol) {
		key.peer = s->last_dst; /* NAT or a source route */
		flow = bpf_map_lookup_elem(&flows, &key);
	}
	if (!flow && s->kind) {
		flow = flow_create(s, &key, &s->owner);
		if (flow && s->kind == EGRETS_RAW)
			fill_process(&flow->owner, current_task(false), false);
	}
	if (!flow)
		return;
	if (flow->state == FLOW_PENDING)
		report_flow(&p, flow, s, cookie, &key.peer, start);
	if (is_dns_port(key.peer.port) && p.dst.protocol == IPPROTO_UDP)
		report_denied_dns(&from, &p, flow->owned ? &flow->owner : &s->owner, s->share,
				  &key);
}

#endif
