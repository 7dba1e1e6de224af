/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where verdicts are enforced: TCP when it connects, everything else packet by packet. Both
 * run after the recorder's program of the same hook, whose entries they find.
 */
#ifndef EGRETS_POLICY_EGRESS_H
#define EGRETS_POLICY_EGRESS_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "maps.h"
#include "mptcp.h"
#include "owner.h"
#include "policy_actor.h"
#include "policy_maps.h"
#include "policy_sni_maps.h"
#include "policy_verdict.h"
#include "tcp.h"
#include "udp.h"

#define QUIC_PORT 443
#define ROOT_CGROUP 1 /* kernfs numbers the root of a hierarchy 1 */

/* The settings of the rules that are active; NULL without any. */
static __always_inline const struct policy_settings *active_settings(void)
{
	__u32 generation = generation_now();
	const struct policy_settings *s = settings_of(generation);

	return generation && s && s->generation == generation ? s : NULL;
}

/* Of the kernel itself: no process has the socket. */
static __always_inline void kernel_actor(struct policy_actor *a)
{
	a->cgroup_id = ROOT_CGROUP;
	a->kernel = true;
	a->at_home = true;
}

static __always_inline bool is_kernel_socket(const struct sock *sk)
{
	return sk && BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
}

/*
 * Whether an attempt of a kernel socket is made by a process that could make it by itself: an SMC
 * socket, which any user may open, connects one of the kernel's. What the host's root makes the
 * kernel connect, by a mount, is the kernel's.
 */
static __always_inline bool is_own_attempt(const struct policy_actor *a)
{
	return !a->kernel && (a->uid || !a->at_home);
}

/* A function of its own, so that it takes no room of the stack of those who go on calling others.
 */
static __attribute__((noinline)) void the_current_actor(struct policy_actor *a)
{
	current_actor(a);
}

/*
 * Who is behind a socket's packet or attempt. The kernel sends for a process from a thread of
 * its own, or in any process' context: MPTCP's further paths, SCTP. The recorder knows the
 * owner of those.
 */
static __always_inline void actor_of(struct policy_actor *a, const struct sock *sk, __u64 cookie,
				     bool any_context, bool attempt)
{
	bool subflow = sk && is_mptcp(sk, false);

	the_current_actor(a);
	if (subflow || any_context || a->kernel) {
		const struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

		if (s && (s->owner.tgid || s->unowned))
			owner_actor(a, &s->owner);
	}
	if (!subflow && is_kernel_socket(sk) && !(attempt && is_own_attempt(a))) {
		__builtin_memset(a, 0, sizeof(*a));
		kernel_actor(a);
	}
}

/*
 * A connection that goes on is decided on again when it says a name; a further path of MPTCP,
 * which the kernel adds, says none. Without memory for that it can't be.
 */
static __always_inline __u32 await_name(struct bpf_sock_addr *ctx, const struct policy_settings *s,
					const struct policy_target *target,
					const struct policy_actor *a, __u32 verdict)
{
	struct bpf_sock *sk = ctx->sk;
	struct policy_sni *n;

	if (!(s->flags & POLICY_SNI) || a->kernel || !sk ||
	    (is_kernel_thread() && is_mptcp(address_of(sk), false)))
		return verdict;
	n = bpf_sk_storage_get(&policy_sni_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!n)
		return sni_verdict(s);
	n->dst = target->dst;
	n->netns_cookie = target->netns_cookie;
	n->verdict = verdict;
	n->state = SNI_AWAITED;
	return verdict;
}

/* An attempt. 1: it may go on; 0: connect returns EPERM. */
static __always_inline int policy_connect(struct bpf_sock_addr *ctx, struct egrets_endpoint *dst)
{
	const struct policy_settings *s = active_settings();
	struct policy_target target = {};
	struct policy_actor actor = {};

	if (!s || !is_tcp(ctx->type, ctx->protocol))
		return 1;
	__u64 cookie = bpf_get_socket_cookie(ctx);

	dst->protocol = IPPROTO_TCP;
	set_target(&target, dst);
	target.netns_cookie = bpf_get_netns_cookie(ctx);
	actor_of(&actor, address_of(ctx->sk), cookie, false, true);
	if (!is_subject(s, &actor))
		return 1;
	__u32 verdict = decide(s, &target, &actor, era_now(s));

	if (!refuses(verdict))
		verdict = await_name(ctx, s, &target, &actor, verdict);
	report_verdict(cookie, dst, &actor, s->generation, verdict, false);
	return !refuses(verdict);
}

/* What of a packet is decided on, and counts; the stack is small. */
struct policy_packet {
	__u32 len; /* with the header behind IP's */
	__u16 headless;
	__u16 routed;
};

/*
 * The recorder's entry of a packet's flow: by its destination, or by the one that the process
 * named, before NAT or behind the source route; or the entry of all that found no room. key
 * becomes its key.
 */
static __always_inline struct egrets_flow *recorded_flow(struct egrets_flow_key *key)
{
	__u64 cookie = key->cookie;
	__u16 protocol = key->peer.protocol;
	__u32 route = key->peer.route;
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, key);
	const struct egrets_sock *s;

	if (flow)
		return flow;
	s = bpf_map_lookup_elem(&socks, &cookie);
	if (!s)
		return NULL;
	if (s->last_dst.protocol) {
		key->peer = s->last_dst;
		key->peer.route = route;
		flow = bpf_map_lookup_elem(&flows, key);
		if (flow)
			return flow;
	}
	__builtin_memset(&key->peer, 0, sizeof(key->peer));
	key->peer.protocol = protocol;
	key->peer.route = EGRETS_OTHERS;
	return bpf_map_lookup_elem(&flows, key);
}

/*
 * Whether the peer sent first, the same way: the recorder marks its flow, or leaves the note
 * of the peer's packet where it has no room for the flow. By the packet's own destination alone.
 */
static __always_inline bool is_answer(const struct __sk_buff *skb,
				      const struct egrets_flow_key *key)
{
	const struct egrets_flow *flow = bpf_map_lookup_elem(&flows, key);

	if (flow)
		return flow->inbound == way_out(skb);
	const struct inbound *seen = bpf_map_lookup_elem(&inbound, key);

	return seen && is_way_back(skb, seen);
}

/* What was refused is no traffic: the recorder has counted it a moment ago. */
static __always_inline void discount(struct __sk_buff *skb, __u32 packet_len, __u16 protocol,
				     struct egrets_flow *flow)
{
	__u32 header = 0;
	__u32 n = segments(skb);

	if (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE)
		header = UDP_HEADER_LEN;
	__u64 len = packet_len > header ? packet_len - header : 0;

	if (protocol != IPPROTO_SCTP) /* the association, and so its data, is never there */
		__sync_fetch_and_add(&flow->tx_bytes, -len);
	__sync_fetch_and_add(&flow->tx_packets, -(__u64)n);
}

static __always_inline bool is_for(const struct policy_flow *f, const struct policy_actor *a,
				   __u32 era)
{
	return f->era == era && f->tgid == a->tgid && f->start_ns == a->start_ns &&
	       f->exec_id == a->exec_id && f->uid == a->uid && f->cgroup_id == a->cgroup_id;
}

/* The network namespace's cookie of a socket, by the recorder's entry if there is one. */
__noinline __u64 netns_of_socket(__u64 cookie, __u64 sk)
{
	const struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s && s->owner.netns_cookie)
		return s->owner.netns_cookie;
	return netns_cookie(BPF_CORE_READ((const struct sock *)sk, __sk_common.skc_net.net));
}

/*
 * The name in QUIC's first packet is encrypted, by a key that takes more than is possible here:
 * under a strict policy it says none.
 */
static __always_inline __u32 said_by(const struct policy_settings *s,
				     const struct egrets_endpoint *dst)
{
	if ((s->flags & POLICY_SNI_STRICT) && dst->protocol == IPPROTO_UDP &&
	    dst->port == QUIC_PORT)
		return NOTHING_SAID;
	return NOT_SAID_YET;
}

/*
 * Decides on a flow, and reports that unless it is what was decided before. key may become that
 * of the recorder's entry.
 */
static __always_inline __u32 decide_flow(const struct policy_settings *s,
					 const struct policy_packet *p, struct egrets_flow_key *key,
					 const struct policy_actor *a, __u64 sk)
{
	struct policy_target target = {.headless = p->headless};
	struct policy_flow *known = bpf_map_lookup_elem(&policy_flows, key);
	__u32 era = era_now(s);
	__u32 verdict;

	if (known && is_for(known, a, era))
		return known->verdict;
	set_target(&target, &key->peer);
	if (p->routed && (s->flags & POLICY_REFUSE_SOURCE_ROUTE)) {
		verdict =
			VERDICT(EGRETS_RULE_SOURCE_ROUTE, EGRETS_BLOCK, s->flags & POLICY_ENFORCE);
	} else {
		target.netns_cookie = netns_of_socket(key->cookie, sk);
		target.said = said_by(s, &target.dst);
		verdict = decide(s, &target, a, era);
	}
	bool report = !known || known->verdict != verdict || known->tgid != a->tgid;

	/* any host can make the kernel answer it: that is no flow, and has no row */
	if (a->kernel)
		return verdict;
	struct policy_flow now = {
		.start_ns = a->start_ns,
		.exec_id = a->exec_id,
		.cgroup_id = a->cgroup_id,
		.tgid = a->tgid,
		.uid = a->uid,
		.era = era,
		.verdict = verdict,
	};

	bpf_map_update_elem(&policy_flows, key, &now, BPF_ANY);
	if (report)
		report_verdict(key->cookie, recorded_flow(key) ? &key->peer : &target.dst, a,
			       s->generation, verdict, false);
	return verdict;
}

/*
 * A global function, verified once instead of for each path through the packet's headers. 0:
 * the sender gets EPERM.
 */
__noinline __u32 policy_decide_packet(struct __sk_buff *skb, __u64 addr_high, __u64 addr_low,
				      __u64 ports_protocol, __u64 len_flags)
{
	const struct policy_settings *s = active_settings();
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;
	struct policy_actor actor = {};
	struct egrets_flow_key key;
	struct policy_packet p = {};
	__u16 protocol = ports_protocol;
	__u64 at = 0;

	if (!s || !full)
		return 1; /* the kernel's answer for a socket that is gone or not there yet */
	__builtin_memset(&key, 0, sizeof(key));
	__builtin_memcpy(key.peer.addr, &addr_high, sizeof(addr_high));
	__builtin_memcpy(key.peer.addr + sizeof(addr_high), &addr_low, sizeof(addr_low));
	key.peer.port = ports_protocol >> 16;
	key.peer.protocol = protocol;
	p.len = len_flags >> 2;
	p.headless = len_flags >> 1 & 1;
	p.routed = len_flags & 1;
	if (p.routed) /* or it would pass as a packet for its next hop */
		key.peer.route = route_hash(key.peer.addr);
	bool is_tcp_socket = full->type == SOCK_STREAM && protocol == IPPROTO_TCP;

	if (is_tcp_socket && !p.routed)
		return 1; /* decided when it connected */
	/* a copy of the pointer is a number, which the verifier lets be read through */
	bpf_probe_read_kernel(&at, sizeof(at), &full);
	__u64 cookie = bpf_get_socket_cookie(skb);

	key.cookie = cookie;
	if (!p.routed && is_answer(skb, &key))
		return 1;
	actor_of(&actor, (const struct sock *)at, cookie, is_tcp_socket || protocol == IPPROTO_SCTP,
		 false);
	if (!is_subject(s, &actor))
		return 1;
	if (!refuses(decide_flow(s, &p, &key, &actor, at)))
		return 1;
	struct egrets_flow *flow = recorded_flow(&key);

	if (flow && !is_tcp_socket)
		discount(skb, p.len, protocol, flow);
	return 0;
}

/* A packet of a protocol other than TCP, or with a source route. */
static __always_inline int policy_packet(struct __sk_buff *skb)
{
	struct packet p = {};
	__u64 addr[2];

	if (is_plain_tcp(skb) || !active_generation || !parse_skb(skb, &p))
		return 1;
	__builtin_memcpy(addr, p.dst.addr, sizeof(addr));
	__u32 passes = policy_decide_packet(skb, addr[0], addr[1],
					    (__u64)p.src.port << 32 | (__u64)p.dst.port << 16 |
						    p.dst.protocol,
					    (__u64)p.len << 2 | (__u64)p.headless << 1 | p.routed);

	return passes ? 1 : 0;
}

#endif
