/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What packet sockets send: whole frames, which pass none of the hooks on IP's sockets.
 * They are seen where they are given to a device, in the context of the process that
 * sends. Counted is what it gave: with the link's header where it wrote that itself.
 *
 * Such a socket is known by its inode number: before 5.12 no hook here could have given
 * it a cookie. Nothing tells of its end, so userspace looks for it.
 */
#ifndef EGRETS_FRAMES_H
#define EGRETS_FRAMES_H

#define AF_PACKET 17 /* include/linux/socket.h */
#define AF_XDP 44
#define ETH_TYPE_OFFSET 12 /* include/uapi/linux/if_ether.h: after two addresses */
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define VLAN_TAGS 2
#define ARPHRD_ETHER 1 /* include/uapi/linux/if_arp.h */
#define ARPHRD_LOOPBACK 772
#define FRAMES_PER_SOCKET 1024 /* destinations; those beyond count as one unknown one */

/* Preallocated, as kprobe programs want it (5.10), and so smaller than the others. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, __u64); /* EGRETS_SENDER and the inode number */
	__type(value, struct egrets_sender);
} senders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct egrets_flow_key);
	__type(value, struct egrets_flow);
} frames SEC(".maps");

/* The socket's entry; NULL, and counted, without room. */
static __always_inline struct egrets_sender *sender(const struct sock *sk, __u64 *id)
{
	__u64 inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);

	if (!inode || current_tgid() == self_tgid)
		return NULL;
	*id = EGRETS_SENDER | inode;
	struct egrets_sender *s = bpf_map_lookup_elem(&senders, id);

	if (s)
		return s;
	struct egrets_sender fresh = {};
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	fill_owner(&fresh.sock.owner);
	fresh.sock.owner.netns = BPF_CORE_READ(net, ns.inum);
	fresh.sock.owner.netns_cookie = netns_cookie(net);
	bpf_map_update_elem(&senders, id, &fresh, BPF_NOEXIST);
	s = bpf_map_lookup_elem(&senders, id);
	if (!s)
		count_lost(EGRETS_OWNER);
	return s;
}

/*
 * The flow to this destination or, of a socket that has many, to an unknown one. They hang
 * on no list, which threads that send at once could break: userspace knows them by the id.
 */
static __always_inline struct egrets_flow *frames_to(struct egrets_sock *s, __u64 id,
						     const struct egrets_endpoint *dst,
						     struct egrets_flow_key *key)
{
	struct egrets_endpoint unknown = {.protocol = EGRETS_PROTOCOL_PACKET};
	struct egrets_flow fresh = {.state = EGRETS_FLOW_NOTED};

	flow_key(key, id, dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&frames, key);

	if (!flow && s->flows >= FRAMES_PER_SOCKET) {
		key->peer = unknown;
		flow = bpf_map_lookup_elem(&frames, key);
	}
	if (flow)
		return flow;
	/* another thread may have made it meanwhile */
	if (!bpf_map_update_elem(&frames, key, &fresh, BPF_NOEXIST))
		__sync_fetch_and_add(&s->flows, 1);
	flow = bpf_map_lookup_elem(&frames, key);
	if (!flow)
		count_lost(EGRETS_FLOW);
	return flow;
}

static __always_inline void count_frames(struct egrets_sender *s, __u64 id, struct packet *p,
					 __u32 len, __u32 packets)
{
	struct egrets_flow_key key;

	set_protocol(p, EGRETS_PROTOCOL_PACKET);
	struct egrets_flow *flow = frames_to(&s->sock, id, &p->dst, &key);

	s->last_ts = bpf_ktime_get_boot_ns();
	if (!flow)
		return;
	if (flow->state == EGRETS_FLOW_NOTED)
		start_flow(p, flow, &s->sock, id, &key.peer);
	__sync_fetch_and_add(&flow->tx_bytes, len);
	__sync_fetch_and_add(&flow->tx_packets, packets ? packets : 1);
	flow->last_ts = s->last_ts;
}

/* The IP packet in a frame, where there is one that can be read. */
static __always_inline void parse_frame(const struct sk_buff *skb, __u32 network, struct packet *p)
{
	__u32 linear = BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len);
	struct bytes from = {.data = BPF_CORE_READ(skb, data), .len = linear};
	__u16 link = BPF_CORE_READ(skb, dev, type);
	__be16 type = BPF_CORE_READ(skb, protocol);

	if (link == ARPHRD_ETHER || link == ARPHRD_LOOPBACK) {
		/* the type that counts is the frame's, whatever the socket says */
		network = ETH_TYPE_OFFSET;
		for (int i = 0; i <= VLAN_TAGS; i++) {
			if (!load(&from, network, &type, sizeof(type)))
				return;
			network += sizeof(type);
			if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
				break;
			network += sizeof(type); /* the tag */
		}
	}
	if (type == bpf_htons(ETH_P_IP)) {
		struct ipv4_header ip;

		if (!load(&from, network, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4)
			return;
		parse_ipv4(&ip, network, p);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6_header ip6;

		if (!load(&from, network, &ip6, sizeof(ip6)) || ip6.version_class_flow[0] >> 4 != 6)
			return;
		parse_ipv6(&ip6, skip_extensions(&from, network + sizeof(ip6), ip6.next_header), p);
	}
	parse_ports(&from, p);
}

/* The device of a neighbour in one of its lists; an empty list leads to none. */
static __always_inline const struct net_device *neighbour(const struct list_head *at)
{
	const struct netdev_adjacent *of =
		(const void *)at - bpf_core_field_offset(struct netdev_adjacent, list);

	return BPF_CORE_READ(of, dev);
}

/*
 * Whether the frame was counted when a device that is stacked on this one was given it: a
 * bond or a bridge, which is the first above its ports, or a VLAN, which has one below.
 */
static __always_inline bool passed_on(struct egrets_sender *s, const struct sk_buff *skb)
{
	const struct net_device *above = (const struct net_device *)s->dev;
	const struct net_device *dev = BPF_CORE_READ(skb, dev);
	bool passed = s->skb == (__u64)skb && above != dev &&
		      (neighbour(BPF_CORE_READ(dev, adj_list.upper.next)) == above ||
		       neighbour(BPF_CORE_READ(above, adj_list.lower.next)) == dev);

	s->skb = (__u64)skb;
	s->dev = (__u64)dev;
	return passed;
}

/* Whether its frames bypass the queues. The flags are of 6.4; before, that can't be told. */
static __always_inline bool bypasses(const struct packet_sock *po)
{
	if (!bpf_core_enum_value_exists(enum packet_sock_flags, PACKET_SOCK_QDISC_BYPASS))
		return false;
	return BPF_CORE_READ(po, flags) >>
		       bpf_core_enum_value(enum packet_sock_flags, PACKET_SOCK_QDISC_BYPASS) &
	       1;
}

/* A frame is given to a device. */
static __always_inline void frame_sent(const struct sk_buff *skb, const struct sock *sk)
{
	__u32 network = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header) -
			BPF_CORE_READ(skb, data);
	__u32 len = BPF_CORE_READ(skb, len);
	struct skb_shared_info *shared = (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);
	struct packet p = {};
	__u64 id;
	struct egrets_sender *s = sender(sk, &id);

	/* what is passed on may be so in any process' time */
	if (!s || passed_on(s, skb))
		return;
	note_holder(&s->sock);
	parse_frame(skb, network, &p);
	if (BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM && network < len)
		len -= network; /* the kernel wrote the link's header */
	count_frames(s, id, &p, len, BPF_CORE_READ(shared, gso_segs));
}

/*
 * A frame is queued. One that was to bypass the queues was counted before, and comes here
 * where a bridge or a bond passes it on.
 */
static __always_inline void frame_queued(const struct sk_buff *skb, const struct sock *sk)
{
	if (!bypasses((const struct packet_sock *)sk))
		frame_sent(skb, sk);
}

/*
 * A send has returned. PACKET_QDISC_BYPASS gives frames to the device on a way that the
 * portable set does not see: then it is known only how many bytes there were.
 */
static __always_inline void frames_returned(const struct sock *sk, int sent)
{
	struct packet p = {};
	__u64 id;

	if (sent <= 0 || !bypasses((const struct packet_sock *)sk))
		return;
	struct egrets_sender *s = sender(sk, &id);

	if (!s)
		return;
	note_holder(&s->sock);
	count_frames(s, id, &p, sent, 1);
}

#endif
