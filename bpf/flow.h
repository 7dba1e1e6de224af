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
#include "order.h"
#include "owner.h"
#include "ring.h"
#include "share.h"

/* So that one socket can't fill its user's share; a server may have millions of peers. */
#define FLOWS_PER_SOCKET 16384
#define ANSWERED_PER_SOCKET 128 /* of these, to peers that sent first */
#define FLOWS_PER_RELEASE 32	/* ended at once; userspace ends the others */
/* An answer later than that is none: nf_conntrack_udp_timeout_stream is less. */
#define ASKED_NS (180 * 1000000000ULL)

static __always_inline void flow_key(struct egrets_flow_key *key, __u64 cookie,
				     const struct egrets_endpoint *peer)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	key->peer = *peer;
}

/* Zero, and never written: a new flow takes too much of the stack. */
struct egrets_flow new_flow;

static __always_inline __u32 segments(const struct __sk_buff *skb)
{
	__u32 n = skb->gso_segs;

	return n ? n : 1;
}

/*
 * The way of a packet between a socket and its peer. Who sends to himself from the address of
 * another host, through the loopback device or by multicast, of which the sender's host gets a
 * copy through any device, is not that host.
 */
#define WAY_DEVICE 1
#define WAY_HOST 2 /* within the host */

static __always_inline __u8 way_out(const struct __sk_buff *skb)
{
	return skb->ifindex == LOOPBACK_IFINDEX ? WAY_HOST : WAY_DEVICE;
}

static __always_inline __u8 way_in(const struct __sk_buff *skb)
{
	return skb->pkt_type == PACKET_LOOPBACK ? WAY_HOST : way_out(skb);
}

/*
 * Whether a packet to a peer is an answer: it goes the way that the peer's came. Who was asked
 * from the same port has not sent first, whichever socket gets the answer.
 */
static __always_inline bool is_way_back(const struct __sk_buff *skb, const struct inbound *seen)
{
	return !seen->asked && seen->way == way_out(skb);
}

/* Whether a packet of a flow that a peer began goes another way than the peer's: it is no answer.
 */
static __always_inline bool is_turned(const struct __sk_buff *skb, const struct egrets_flow *flow)
{
	return flow->inbound && flow->inbound != way_out(skb);
}

static __always_inline void asked_key(struct asked_key *key, __u64 netns_cookie,
				      const struct egrets_endpoint *peer, __u16 port)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->netns_cookie = netns_cookie;
	key->peer = *peer;
	key->peer.route = EGRETS_DIRECT;
	key->port = port;
}

/* Whether something has been sent to the peer from this port of the socket's network. */
static __always_inline bool was_asked(const struct sock *sk, const struct egrets_endpoint *peer,
				      __u16 port)
{
	struct asked_key key;

	asked_key(&key, netns_cookie(BPF_CORE_READ(sk, __sk_common.skc_net.net)), peer, port);
	__u64 *when = bpf_map_lookup_elem(&asked, &key);

	return when && bpf_ktime_get_boot_ns() - *when < ASKED_NS;
}

/* Counts what came from a peer that has sent first before; false if none has. */
static __always_inline bool count_inbound(const struct __sk_buff *skb, const struct packet *p,
					  const struct egrets_flow_key *key)
{
	struct inbound *seen = bpf_map_lookup_elem(&inbound, key);
	__u8 way = way_in(skb);

	if (!seen)
		return false;
	__sync_fetch_and_add(&seen->bytes, p->len);
	__sync_fetch_and_add(&seen->packets, segments(skb));
	if (seen->way != way)
		seen->way = way;
	return true;
}

/* A peer sent to a socket that has sent nothing there. s is NULL if it has sent nothing at all. */
static __always_inline void mark_inbound(const struct __sk_buff *skb, const struct packet *p,
					 const struct egrets_sock *s,
					 const struct egrets_flow_key *key)
{
	struct inbound init = {
		.bytes = p->len,
		.packets = segments(skb),
		.way = way_in(skb),
	};

	if (count_inbound(skb, p, key))
		return;
	const struct sock *sk = skb->sk ? address_of(skb->sk) : NULL;
	__u32 id = s ? s->share : share_of_socket(sk);

	init.asked = was_asked(sk, &key->peer, p->dst.port);
	if (!bpf_map_update_elem(&inbound, key, &init, BPF_NOEXIST))
		take_place(&inbound, &inbound_order, INBOUND, &share(id)->next_inbound, id, key);
}

/*
 * The flow of a key that was not found, created; NULL without room, which the first packet
 * counts. Threads that do this at once for one socket may lose a link of its list: userspace
 * finds the flows behind it (reaper).
 */
static __always_inline struct egrets_flow *flow_create(struct egrets_sock *s,
						       const struct egrets_flow_key *key,
						       const struct egrets_owner *owner)
{
	__u32 id = s->share;
	bool first = !s->flow_count;

	if (s->flow_count >= FLOWS_PER_SOCKET && key->peer.route - 1 >= EGRETS_ROUTES - 1)
		return NULL;
	if (!has_room(share(id)->flows, EGRETS_FLOWS, id))
		return NULL;
	bool created = !bpf_map_update_elem(&flows, key, &new_flow, BPF_NOEXIST);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, key);

	if (!created || !flow)
		return flow;
	share_take(&share(id)->flows);
	flow->share = id;
	flow->has_next = !first;
	flow->next = s->newest_flow;
	s->newest_flow = key->peer;
	s->flow_count++;
	flow->owner = *owner;
	barrier();
	flow->owned = 1;
	return flow;
}

/*
 * Where a socket has no room for a flow, what it sends is counted still: one flow without an
 * address has all that it sends first, and one its answers. Each destination of the former is
 * counted as lost; a server's peers may be millions. NULL if its user has no room for it.
 */
static __always_inline struct egrets_flow *other_flow(struct egrets_sock *s,
						      struct egrets_flow_key *key, bool answer)
{
	struct egrets_endpoint other = {
		.protocol = key->peer.protocol,
		.route = answer ? EGRETS_OTHER_PEERS : EGRETS_OTHERS,
	};

	if (!answer)
		count_lost_once(s->share, key, EGRETS_FLOW);
	key->peer = other;
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, key);

	if (!flow)
		flow = flow_create(s, key, &s->owner);
	if (!flow && answer)
		count_lost_once(s->share, key, EGRETS_FLOW);
	return flow;
}

/* A packet of segmentation offload (UDP_SEGMENT, GRO) is many datagrams. */
static __always_inline void flow_account(struct __sk_buff *skb, struct egrets_flow *flow,
					 __u64 *bytes, __u64 *packets, __u32 len)
{
	__sync_fetch_and_add(bytes, len);
	__sync_fetch_and_add(packets, segments(skb));
	flow->last_ts = bpf_ktime_get_boot_ns();
}

/* How a flow began. */
struct flow_start {
	bool inbound;
	bool denied;
};

static __always_inline void report_flow(const struct packet *p, struct egrets_flow *flow,
					const struct egrets_sock *s, __u64 cookie,
					const struct egrets_endpoint *dst, struct flow_start start)
{
	struct egrets_connect *e;

	/*
	 * Two threads that send at once may both report it: userspace takes the first. The
	 * atomic exchange that would prevent this needs 5.12.
	 */
	flow->state = FLOW_REPORTED;
	e = RESERVE(struct egrets_connect, EGRETS_FLOW, s->share);
	if (!e) {
		flow->state = FLOW_UNREPORTED;
		return;
	}
	if (flow->owned)
		e->owner = flow->owner;
	else
		e->owner = s->owner;
	e->inbound = start.inbound;
	e->denied = start.denied;
	if (dst->route >= EGRETS_ROUTES) {
		e->has_hop = 1;
		__builtin_memcpy(e->hop, p->dst.addr, sizeof(e->hop));
	}
	e->cookie = cookie;
	e->src = p->src;
	e->dst = *dst;
	e->raw = s->kind == EGRETS_RAW;
	e->shared_tgid = s->shared_tgid;
	submit(e);
}

/*
 * A flow's first packet, or its first one that is no answer. The peer began it if it sent first,
 * the same way as the answer goes. What came in is counted.
 */
static __always_inline void flow_begin(const struct __sk_buff *skb, const struct packet *p,
				       struct egrets_flow *flow, struct egrets_sock *s,
				       const struct egrets_flow_key *key)
{
	struct inbound *seen = bpf_map_lookup_elem(&inbound, key);
	struct flow_start start = {};

	flow->inbound = 0;
	if (seen) {
		start.inbound = is_way_back(skb, seen);
		__sync_fetch_and_add(&flow->rx_bytes, seen->bytes);
		__sync_fetch_and_add(&flow->rx_packets, seen->packets);
		bpf_map_delete_elem(&inbound, key);
		if (start.inbound) {
			flow->inbound = way_out(skb);
			s->answered++;
		}
	}
	if (!start.inbound) {
		struct asked_key asks;
		__u64 now = bpf_ktime_get_boot_ns();

		asked_key(&asks, s->owner.netns_cookie, &p->dst, p->src.port);
		bpf_map_update_elem(&asked, &asks, &now, BPF_ANY);
	}
	report_flow(p, flow, s, key->cookie, &key->peer, start);
}

/* The same for a packet that only the flow of all others counts. */
static __always_inline void other_begin(const struct packet *p, struct egrets_flow *flow,
					const struct egrets_sock *s,
					const struct egrets_flow_key *key, struct inbound *seen)
{
	struct flow_start start = {.inbound = seen != NULL};

	if (seen) {
		__u64 bytes = seen->bytes;
		__u32 packets = seen->packets;

		__sync_fetch_and_add(&flow->rx_bytes, bytes);
		__sync_fetch_and_add(&flow->rx_packets, packets);
		__sync_fetch_and_add(&seen->bytes, -bytes);
		__sync_fetch_and_add(&seen->packets, -packets);
	}
	if (flow->state == FLOW_PENDING)
		report_flow(p, flow, s, key->cookie, &key->peer, start);
}

/* Deletes a flow; reports its end if its start was reported. */
static __always_inline void flow_end(const struct egrets_flow_key *key,
				     const struct egrets_flow *flow, const struct egrets_sock *s)
{
	struct egrets_flow_end *e;

	if (flow->state == FLOW_REPORTED) {
		e = RESERVE(struct egrets_flow_end, EGRETS_FLOW_END, flow->share);
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
	__u32 id = flow->share;

	if (!bpf_map_delete_elem(&flows, key))
		share_give_back(&share(id)->flows);
}

static __always_inline void report_release(__u64 cookie, __u32 id, __u32 shared_tgid,
					   const struct egrets_endpoint *next, bool lingers)
{
	struct egrets_release *e = RESERVE(struct egrets_release, EGRETS_RELEASE, id);

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

/*
 * Ends the newest flow of a socket's list; 0 if there is none behind it. A global function,
 * verified once instead of for each flow.
 */
__noinline int end_newest_flow(__u64 cookie)
{
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct egrets_flow_key key;

	if (!s)
		return 0;
	flow_key(&key, cookie, &s->newest_flow);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow)
		return 0;
	__u32 more = flow->has_next;

	s->newest_flow = flow->next;
	flow_end(&key, flow, s);
	return more;
}

/* Of a socket that is released. */
static __always_inline void end_flows(__u64 cookie, const struct egrets_sock *s)
{
	__u32 more = s->flow_count > 0;

	for (int i = 0; i < FLOWS_PER_RELEASE && more; i++)
		more = end_newest_flow(cookie);
	if (more)
		report_release(cookie, s->share, s->shared_tgid, &s->newest_flow, false);
}

#endif
