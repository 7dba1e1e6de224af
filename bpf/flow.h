/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flows: traffic of one socket with one destination over one protocol, other than TCP. A
 * socket's flows are a list that begins at its entry in the socket map.
 */
#ifndef EGRETS_FLOW_H
#define EGRETS_FLOW_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"
#include "maps.h"
#include "ring.h"

#define FLOWS_PER_SOCKET 4096 /* so that one socket can't fill the map */
#define FLOWS_PER_RELEASE 32  /* ended at once; userspace ends the others */

static __always_inline void flow_key(struct egrets_flow_key *key, __u64 cookie,
				     const struct egrets_endpoint *peer)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	key->peer = *peer;
}

static __always_inline void mark_inbound(const struct egrets_flow_key *key)
{
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&inbound, key))
		bpf_map_update_elem(&inbound, key, &one, BPF_ANY);
}

/*
 * The flow of a key that was not found, created; NULL, and counted, without room. Threads
 * that do this at once for one socket may lose a link of its list: userspace finds the flows
 * behind it (iterators.h).
 */
static __always_inline struct egrets_flow *flow_create(struct egrets_sock *s,
						       const struct egrets_flow_key *key,
						       const struct egrets_endpoint *dst)
{
	struct egrets_flow init = {.state = FLOW_PENDING};

	init.has_next = s->flow_count > 0;
	init.next = s->newest_flow;
	if (s->flow_count < FLOWS_PER_SOCKET &&
	    !bpf_map_update_elem(&flows, key, &init, BPF_NOEXIST)) {
		s->newest_flow = *dst;
		s->flow_count++;
	}
	return lookup_or_lost(&flows, key, EGRETS_FLOW);
}

/* A packet of segmentation offload (UDP_SEGMENT, GRO) is many datagrams. */
static __always_inline void flow_account(struct __sk_buff *skb, struct egrets_flow *flow,
					 __u64 *bytes, __u64 *packets, __u32 len)
{
	__u32 segments = skb->gso_segs;

	__sync_fetch_and_add(bytes, len);
	__sync_fetch_and_add(packets, segments ? segments : 1);
	flow->last_ts = bpf_ktime_get_boot_ns();
}

static __always_inline void report_flow(const struct packet *p, struct egrets_flow *flow,
					const struct egrets_sock *s, __u64 cookie,
					const struct egrets_endpoint *dst)
{
	struct egrets_connect *e;

	/*
	 * Two threads that send at once may both report it: userspace takes the first. The
	 * atomic exchange that would prevent this needs 5.12.
	 */
	flow->state = FLOW_REPORTED;
	e = RESERVE(struct egrets_connect, EGRETS_FLOW);
	if (!e) {
		flow->state = FLOW_UNREPORTED;
		return;
	}
	e->owner = s->owner;
	e->cookie = cookie;
	e->src = p->src;
	e->dst = *dst;
	e->raw = s->kind == EGRETS_RAW;
	e->shared_tgid = s->shared_tgid;
	submit(e);
}

/* Deletes a flow; reports its end if its start was reported. */
static __always_inline void flow_end(const struct egrets_flow_key *key,
				     const struct egrets_flow *flow, const struct egrets_sock *s)
{
	struct egrets_flow_end *e;

	if (flow->state == FLOW_REPORTED) {
		e = RESERVE(struct egrets_flow_end, EGRETS_FLOW_END);
		if (e) {
			e->cookie = key->cookie;
			e->tx_bytes = flow->tx_bytes;
			e->rx_bytes = flow->rx_bytes;
			e->tx_packets = flow->tx_packets;
			e->rx_packets = flow->rx_packets;
			e->last_ts = flow->last_ts;
			e->dst = key->peer;
			e->shared_tgid = s->shared_tgid;
			submit(e);
		}
	}
	bpf_map_delete_elem(&flows, key);
}

static __always_inline void report_release(__u64 cookie, __u32 shared_tgid,
					   const struct egrets_endpoint *next, bool lingers)
{
	struct egrets_release *e = RESERVE(struct egrets_release, EGRETS_RELEASE);

	if (!e)
		return;
	e->cookie = cookie;
	e->shared_tgid = shared_tgid;
	e->lingers = lingers;
	if (next) {
		e->has_next = 1;
		e->next = *next;
	}
	submit(e);
}

static __always_inline void end_flows(__u64 cookie, const struct egrets_sock *s)
{
	struct egrets_endpoint at = s->newest_flow;
	__u32 more = s->flow_count > 0;

	for (int i = 0; i < FLOWS_PER_RELEASE && more; i++) {
		struct egrets_flow_key key;

		flow_key(&key, cookie, &at);
		struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

		if (!flow)
			return;
		at = flow->next;
		more = flow->has_next;
		flow_end(&key, flow, s);
	}
	if (more)
		report_release(cookie, s->shared_tgid, &at, false);
}

#endif
