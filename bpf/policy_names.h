/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Names, before the process has them: an egress program sees the query, an ingress program the
 * answer. What makes that safe, in the order of the headers: a name is a keyed hash; no process
 * fills another's room; an answer counts only if a resolver of the policy sent it, by the
 * interface that the query left by, to the socket, id and question that asked.
 *
 * Over the loopback device any process with a raw socket, and any container on an address that it
 * binds, could be that resolver. So there an answer is read as it leaves, when its sender is
 * known, and what comes in by it is not. Nor is the copy of a multicast or broadcast packet that
 * its sender's own host gets: it comes in by the device that the packet left by.
 */
#ifndef EGRETS_POLICY_NAMES_H
#define EGRETS_POLICY_NAMES_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "policy_actor.h"
#include "policy_essential.h"
#include "policy_names_answer.h"
#include "policy_names_maps.h"
#include "policy_names_message.h"
#include "policy_names_query.h"
#include "policy_names_stream.h"
#include "policy_names_types.h"
#include "uapi.h"

static __always_inline bool is_datagram_socket(struct __sk_buff *skb)
{
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;

	return full && full->type == SOCK_DGRAM && full->protocol == IPPROTO_UDP;
}

/*
 * Whether the current process is a resolver of this host: a datagram leaves in its sender's
 * context. In a container, which has files of its own, any program can be at a resolver's path. A
 * cgroup that has no class yet may be that of a service that was just started.
 */
__noinline __u32 is_stub(void)
{
	struct policy_actor actor = {};

	if (is_foreign(current_task(task_is_typed), task_is_typed))
		return 0;
	current_actor(&actor);
	__u64 class = class_of(&actor);

	if ((__u32) class != POLICY_UNKNOWN_CLASS && !(class >> 32 & POLICY_OUTSIDE))
		return 0;
	const struct policy_process *process = process_of(&actor);

	if (!process || !process->components || !process->trusted)
		return 0;
	__u64 path = process->path;

	return bpf_map_lookup_elem(&policy_stubs, &path) != NULL;
}

/* An answer over the loopback device, as it leaves. */
static __always_inline void stub_answers(struct __sk_buff *skb, const struct packet *p,
					 __u64 cookie, __u32 generation)
{
	if (p->headless || p->len <= UDP_HEADER_LEN || !is_dns_to_resolver(generation, &p->src) ||
	    !is_datagram_socket(skb) || !is_stub())
		return;
	__u64 id = scratch_open(false);
	struct names_scratch *s = scratch(id);

	if (!s)
		return;
	fill_asker(id, cookie, netns_cookie(net_of(skb->sk)));
	__u64 client = client_id(s->query.asker.netns_cookie, &p->dst);

	if (load_message(skb, id, p->header + UDP_HEADER_LEN, p->len - UDP_HEADER_LEN))
		learn(id, client, LOOPBACK_IFINDEX, generation);
	scratch_close(id);
}

/* A datagram to a resolver: see read_query. */
static __always_inline __u64 datagram_asks(struct __sk_buff *skb, const struct packet *p,
					   __u64 cookie, __u32 generation)
{
	__u32 at = p->header + UDP_HEADER_LEN, len = p->len - UDP_HEADER_LEN;
	__u64 socket = cookie, result;

	if (p->headless || p->len <= UDP_HEADER_LEN || segments(skb) > 1)
		return QUERY_UNREADABLE;
	__u64 id = scratch_open(false);
	struct names_scratch *s = scratch(id);

	if (!s)
		return QUERY_UNREADABLE;
	fill_asker(id, cookie, netns_cookie(net_of(skb->sk)));
	s->query.ifindex = skb->ifindex;
	if (skb->ifindex == LOOPBACK_IFINDEX)
		socket = client_id(s->query.asker.netns_cookie, &p->src);
	if (!is_datagram_socket(skb))
		socket = 0;
	result = read_query(skb, id, at, len, socket, generation);
	scratch_close(id);
	return result;
}

/* Where a packet goes, as its process named it, before NAT: as udp_flow, udp.h. */
static __always_inline void named_server(struct egrets_endpoint *server, const struct packet *p,
					 const struct egrets_sock *s, __u64 cookie)
{
	struct egrets_flow_key key;

	*server = p->dst;
	flow_key(&key, cookie, &p->dst);
	if (!s || !s->last_dst.protocol)
		return;
	if (p->dst.protocol == IPPROTO_TCP || !bpf_map_lookup_elem(&flows, &key))
		*server = s->last_dst;
}

/*
 * Most packets have nothing to do with DNS: a socket's own ports show it, which NAT leaves alone.
 * One that is not connected has to be looked at.
 */
static __always_inline bool may_be_dns(struct __sk_buff *skb, bool egress)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return false;
	__u16 port = bpf_ntohs(sk->dst_port);

	return !port || port == DNS_PORT || (egress && sk->src_port == DNS_PORT);
}

/*
 * A packet leaves: its query is kept, or the answer that it is over the loopback device read.
 * Returns 0 unless it goes to a resolver of the policy, `server` as its process named it.
 */
static __always_inline __u64 names_egress(struct __sk_buff *skb, __u32 generation,
					  struct egrets_endpoint *server)
{
	struct packet p = {};

	if (!may_be_dns(skb, true) || !parse_skb(skb, &p))
		return 0;
	__u64 cookie = bpf_get_socket_cookie(skb);
	const struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (p.dst.protocol == IPPROTO_UDP && skb->ifindex == LOOPBACK_IFINDEX)
		stub_answers(skb, &p, cookie, generation);
	named_server(server, &p, s, cookie);
	if (!is_dns_to_resolver(generation, server))
		return 0;
	if (p.dst.protocol == IPPROTO_UDP)
		return datagram_asks(skb, &p, cookie, generation);
	if (p.dst.protocol == IPPROTO_TCP)
		return stream_asks(skb, &p, cookie, generation);
	return 0;
}

/* A packet comes in for a socket. */
static __always_inline void names_ingress(struct __sk_buff *skb, __u32 generation)
{
	struct packet p = {};

	if (way_in(skb) == WAY_HOST || !may_be_dns(skb, false) || !parse_skb(skb, &p))
		return;
	if (p.headless || !is_dns_to_resolver(generation, &p.src))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);

	if (p.src.protocol == IPPROTO_TCP) {
		stream_answers(skb, &p, cookie, generation);
		return;
	}
	if (p.src.protocol != IPPROTO_UDP || p.len <= UDP_HEADER_LEN)
		return;
	__u64 id = scratch_open(true);

	if (!id)
		return;
	if (load_message(skb, id, p.header + UDP_HEADER_LEN, p.len - UDP_HEADER_LEN))
		learn(id, cookie, skb->ifindex, generation);
	scratch_close(id);
}

#endif
