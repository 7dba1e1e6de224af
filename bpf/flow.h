/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flows: what a socket without a connection of TCP's sends to one destination, over one
 * protocol, and gets from it. Those of a socket hang on its entry in the owner map.
 */
#ifndef EGRETS_FLOW_H
#define EGRETS_FLOW_H

#define FLOWS_PER_SOCKET 4096 /* so that one socket does not fill the table */
#define FLOWS_PER_RELEASE 32  /* flows ended at once; userspace sweeps up the rest */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct egrets_flow_key);
	__type(value, struct egrets_flow);
} flows SEC(".maps");

/*
 * Who sent to a socket first: an answer to them is not egress. Strangers fill
 * it, so it is an LRU; what it forgets is taken for a flow of the answerer's.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct egrets_flow_key);
	__type(value, __u8);
} inbound SEC(".maps");

static __always_inline void flow_key(struct egrets_flow_key *key, __u64 cookie,
				     const struct egrets_endpoint *peer)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	key->peer = *peer;
}

static __always_inline void note_inbound(const struct egrets_flow_key *key)
{
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&inbound, key))
		bpf_map_update_elem(&inbound, key, &one, BPF_ANY);
}

/*
 * A flow to this destination, made where there is none; NULL, and counted, without room.
 * Threads that do this at once for one socket may lose a link of its list: what is left of
 * it then, userspace finds (carried.h).
 */
static __always_inline struct egrets_flow *add_flow(struct egrets_sock *s,
						    const struct egrets_flow_key *key,
						    const struct egrets_endpoint *dst)
{
	struct egrets_flow fresh = {.state = EGRETS_FLOW_NOTED};

	fresh.has_next = s->flows > 0;
	fresh.next = s->head;
	bool added = s->flows < FLOWS_PER_SOCKET &&
		     !bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST);

	if (added) {
		s->head = *dst;
		s->flows++;
	}
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, key);

	if (!flow)
		count_lost(EGRETS_FLOW);
	return flow;
}

/* A packet of segmentation offload (UDP_SEGMENT, GRO) is many datagrams. */
static __always_inline void count(struct __sk_buff *skb, struct egrets_flow *flow, __u64 *bytes,
				  __u64 *packets, __u32 len)
{
	__u32 segments = skb->gso_segs;

	__sync_fetch_and_add(bytes, len);
	__sync_fetch_and_add(packets, segments ? segments : 1);
	flow->last_ts = bpf_ktime_get_boot_ns();
}

static __always_inline void start_flow(const struct packet *p, struct egrets_flow *flow,
				       const struct egrets_sock *s, __u64 cookie,
				       const struct egrets_endpoint *dst)
{
	struct egrets_connect *e;

	/*
	 * Two threads that send at once may both tell: userspace takes the first.
	 * The atomic exchange that would prevent it needs 5.12.
	 */
	flow->state = EGRETS_FLOW_STARTED;
	e = RESERVE(struct egrets_connect, EGRETS_FLOW);
	if (!e) {
		flow->state = EGRETS_FLOW_LOST;
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

/* Ends a flow; says so where its start was told. */
static __always_inline void end_flow(const struct egrets_flow_key *key,
				     const struct egrets_flow *flow, const struct egrets_sock *s)
{
	struct egrets_flow_end *e;

	if (flow->state == EGRETS_FLOW_STARTED) {
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

static __always_inline void report_release(__u64 cookie, const struct egrets_sock *s,
					   const struct egrets_endpoint *next, bool lingers)
{
	struct egrets_release *e = RESERVE(struct egrets_release, EGRETS_RELEASE);

	if (!e)
		return;
	e->cookie = cookie;
	e->shared_tgid = s->shared_tgid;
	e->lingers = lingers;
	if (next) {
		e->has_next = 1;
		e->next = *next;
	}
	submit(e);
}

static __always_inline void end_flows(__u64 cookie, const struct egrets_sock *s)
{
	struct egrets_endpoint at = s->head;
	__u32 more = s->flows > 0;

	for (int i = 0; i < FLOWS_PER_RELEASE && more; i++) {
		struct egrets_flow_key key;

		flow_key(&key, cookie, &at);
		struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

		if (!flow)
			return;
		at = flow->next;
		more = flow->has_next;
		end_flow(&key, flow, s);
	}
	if (more)
		report_release(cookie, s, &at, false);
}

#endif
