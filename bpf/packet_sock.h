/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packet sockets send whole frames, which pass none of the hooks on IP's sockets. They are
 * seen when a device gets them, in the context of the process that sends. Bytes are what the
 * process wrote: with the link's header if it wrote that itself.
 *
 * Such a socket is known by its inode number: before 5.12 no hook here could have read a
 * cookie. No hook reports its end, so userspace looks for it.
 */
#ifndef EGRETS_PACKET_SOCK_H
#define EGRETS_PACKET_SOCK_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "maps.h"
#include "owner.h"
#include "uapi.h"

#define VLAN_TAGS 2
#define FLOWS_PER_PACKET_SOCK 1024 /* destinations; those beyond count as one unknown one */

/* The socket's entry, created if there is none; NULL, and counted, without room. */
static __always_inline struct egrets_packet_sock *packet_sock(const struct sock *sk, __u64 *id)
{
	__u64 inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);

	if (!inode || is_self())
		return NULL;
	*id = PACKET_SOCK_ID | inode;
	struct egrets_packet_sock *s = bpf_map_lookup_elem(&packet_socks, id);

	if (s)
		return s;
	struct egrets_packet_sock init = {};
	__u32 owner = share_of_current();
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	fill_process(&init.sock.owner, current_task(false), false);
	init.sock.owner.netns = BPF_CORE_READ(net, ns.inum);
	init.sock.owner.netns_cookie = netns_cookie(net);
	init.sock.share = owner;
	if (!has_room(share(owner)->packet_socks, PACKET_SOCKS, owner)) {
		count_lost_socket(owner, *id);
		return NULL;
	}
	if (!bpf_map_update_elem(&packet_socks, id, &init, BPF_NOEXIST))
		share_take(&share(owner)->packet_socks);
	return lookup_or_lost(&packet_socks, id, EGRETS_SOCKET);
}

/*
 * The flow to this destination or, for a socket that has many, to an unknown one. They are
 * not in a list, which threads that send at once could break: userspace finds them by the id.
 */
static __always_inline struct egrets_flow *packet_flow(struct egrets_sock *s, __u64 id,
						       const struct egrets_endpoint *dst,
						       struct egrets_flow_key *key)
{
	struct egrets_endpoint unknown = {.protocol = EGRETS_PROTOCOL_PACKET};
	__u32 owner = s->share;

	flow_key(key, id, dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&packet_flows, key);

	if (!flow && s->flow_count >= FLOWS_PER_PACKET_SOCK) {
		key->peer = unknown;
		flow = bpf_map_lookup_elem(&packet_flows, key);
	}
	if (flow)
		return flow;
	if (!has_room(share(owner)->packet_flows, PACKET_FLOWS, owner)) {
		count_lost_once(owner, key, EGRETS_FLOW);
		return NULL;
	}
	/* another thread may have created it meanwhile */
	bool created = !bpf_map_update_elem(&packet_flows, key, &new_flow, BPF_NOEXIST);

	flow = bpf_map_lookup_elem(&packet_flows, key);
	if (!flow) {
		count_lost_once(owner, key, EGRETS_FLOW);
	} else if (created) {
		share_take(&share(owner)->packet_flows);
		flow->share = owner;
		/* of this send: the socket may be older than an exec */
		fill_process(&flow->owner, current_task(false), false);
		flow->owner.netns = s->owner.netns;
		flow->owner.netns_cookie = s->owner.netns_cookie;
		flow->owned = 1;
		__sync_fetch_and_add(&s->flow_count, 1);
	}
	return flow;
}

static __always_inline void packet_account(struct egrets_packet_sock *s, __u64 id, struct packet *p,
					   __u32 len, __u32 packets)
{
	struct egrets_flow_key key;

	set_protocol(p, EGRETS_PROTOCOL_PACKET);
	struct egrets_flow *flow = packet_flow(&s->sock, id, &p->dst, &key);

	s->last_ts = bpf_ktime_get_boot_ns();
	if (!flow)
		return;
	if (flow->state == FLOW_PENDING)
		report_flow(p, flow, &s->sock, id, &key.peer, (struct flow_start){});
	__sync_fetch_and_add(&flow->tx_bytes, len);
	__sync_fetch_and_add(&flow->tx_packets, packets ? packets : 1);
	flow->last_ts = s->last_ts;
}

/* skip_skb_extensions of a packet in kernel memory. */
__noinline __u64 skip_kernel_extensions(__u64 data, __u32 len, __u32 off, __u32 next)
{
	struct byte_source from = {.data = (const void *)data, .len = len};

	return skip_extensions(&from, off, next);
}

/* The IP packet at this offset, if there is one that can be read. */
static __always_inline void parse_network(const struct byte_source *from, __be16 type,
					  __u32 network, struct packet *p)
{
	if (type == bpf_htons(ETH_P_IP)) {
		struct ipv4_header ip;

		if (!read_bytes(from, network, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4)
			return;
		parse_ipv4(&ip, network, p);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6_header ip6;

		if (!read_bytes(from, network, &ip6, sizeof(ip6)) ||
		    ip6.version_class_flow[0] >> 4 != 6)
			return;
		__u64 headers = skip_kernel_extensions((__u64)from->data, from->len,
						       network + sizeof(ip6), ip6.next_header);

		parse_ipv6(&ip6, headers, p);
	}
	parse_ports(from, p);
}

/* The IP packet in a frame, likewise. */
static __always_inline void parse_frame(const struct sk_buff *skb, __u32 network, struct packet *p)
{
	__u32 linear = BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len);
	struct byte_source from = {.data = BPF_CORE_READ(skb, data), .len = linear};
	__u16 link = BPF_CORE_READ(skb, dev, type);
	__be16 type = BPF_CORE_READ(skb, protocol);

	if (link == ARPHRD_ETHER || link == ARPHRD_LOOPBACK) {
		/* the socket's protocol may be another one than the frame's */
		network = ETH_TYPE_OFFSET;
		for (int i = 0; i <= VLAN_TAGS; i++) {
			if (!read_bytes(&from, network, &type, sizeof(type)))
				return;
			network += sizeof(type);
			if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
				break;
			network += sizeof(type); /* the tag */
		}
	}
	parse_network(&from, type, network, p);
}

/* The device of an element of adj_list; NULL for the head of an empty list. */
static __always_inline const struct net_device *adjacent_dev(const struct list_head *at)
{
	const struct netdev_adjacent *adjacent =
		(const void *)at - bpf_core_field_offset(struct netdev_adjacent, list);

	return BPF_CORE_READ(adjacent, dev);
}

/*
 * Whether the frame was counted when a device that is stacked on this one got it: a bond or
 * a bridge, which is the first above its ports, or a VLAN, which has one below.
 */
static __always_inline bool is_forwarded(struct egrets_packet_sock *s, const struct sk_buff *skb)
{
	const struct net_device *above = (const struct net_device *)s->dev;
	const struct net_device *dev = BPF_CORE_READ(skb, dev);
	bool forwarded = s->skb == (__u64)skb && above != dev &&
			 (adjacent_dev(BPF_CORE_READ(dev, adj_list.upper.next)) == above ||
			  adjacent_dev(BPF_CORE_READ(above, adj_list.lower.next)) == dev);

	s->skb = (__u64)skb;
	s->dev = (__u64)dev;
	return forwarded;
}

/* Whether its frames bypass the queues: known since 6.4, which added the flags. */
static __always_inline bool bypasses_qdisc(const struct packet_sock *po)
{
	if (!bpf_core_enum_value_exists(enum packet_sock_flags, PACKET_SOCK_QDISC_BYPASS))
		return false;
	return BPF_CORE_READ(po, flags) >>
		       bpf_core_enum_value(enum packet_sock_flags, PACKET_SOCK_QDISC_BYPASS) &
	       1;
}

/* A device gets a frame. */
static __always_inline void on_packet_xmit(const struct sk_buff *skb, const struct sock *sk)
{
	__u32 network = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header) -
			BPF_CORE_READ(skb, data);
	__u32 len = BPF_CORE_READ(skb, len);
	struct skb_shared_info *shared = (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);
	struct packet p = {};
	__u64 id;
	struct egrets_packet_sock *s = packet_sock(sk, &id);

	/* it may be forwarded in the context of any process */
	if (!s || is_forwarded(s, skb))
		return;
	mark_shared(&s->sock);
	parse_frame(skb, network, &p);
	if (BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM && network < len)
		len -= network; /* the kernel wrote the link's header */
	packet_account(s, id, &p, len, BPF_CORE_READ(shared, gso_segs));
}

/*
 * A frame is queued. One that bypasses the queues was counted before, and comes here if a
 * bridge or a bond forwards it.
 */
static __always_inline void on_packet_queue(const struct sk_buff *skb, const struct sock *sk)
{
	if (!bypasses_qdisc((const struct packet_sock *)sk))
		on_packet_xmit(skb, sk);
}

/*
 * A send has returned. The tracepoint set does not see the frames of PACKET_QDISC_BYPASS:
 * only the number of bytes is known.
 */
static __always_inline void on_packet_send_return(const struct sock *sk, int sent)
{
	struct packet p = {};
	__u64 id;

	if (sent <= 0 || !bypasses_qdisc((const struct packet_sock *)sk))
		return;
	struct egrets_packet_sock *s = packet_sock(sk, &id);

	if (!s)
		return;
	mark_shared(&s->sock);
	packet_account(s, id, &p, sent, 1);
}

#endif
