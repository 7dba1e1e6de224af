/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What passes the sockets: UDP flows are counted, DNS messages are copied. The
 * programs see each packet from its IP header on, going out after the firewall
 * and any NAT, coming in before the socket has it and after NAT was undone.
 */
#ifndef EGRETS_PACKET_H
#define EGRETS_PACKET_H

#define IPV6_EXTENSIONS 6 /* extension headers that are passed over */
#define IP_OFFSET 0x1fff  /* include/net/ip.h: not a first fragment */
#define UDP_HEADER_LEN 8
#define TCP_FLAG_SYN 0x02 /* RFC 9293, section 3.1 */
/* include/net/ipv6.h */
#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_DEST 60

/* The wire formats: their size counts, and no kernel relocates them. */

struct ipv4_header { /* RFC 791, section 3.1 */
	__u8 version_ihl;
	__u8 tos;
	__be16 total_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__be16 check;
	__be32 saddr;
	__be32 daddr;
};

struct ipv6_header { /* RFC 8200, section 3 */
	__u8 version_class_flow[4];
	__be16 payload_len;
	__u8 next_header;
	__u8 hop_limit;
	__u8 saddr[16];
	__u8 daddr[16];
};

struct tcp_header { /* RFC 9293, section 3.1 */
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 data_offset; /* in words, in its upper half */
	__u8 flags;
};

struct packet {
	struct egrets_endpoint src;
	struct egrets_endpoint dst;
	__u32 payload; /* its offset */
	__u32 len;     /* its length */
	__u32 seq;     /* TCP: of the payload's first byte */
	__u32 ack;
};

/* Whether it is of this protocol, and not a later fragment; finds its header. */
static __always_inline bool parse_ip(struct __sk_buff *skb, struct packet *p, __u8 protocol,
				     __u32 *header)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u32 off;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4_header *ip = data;

		if ((void *)(ip + 1) > end || ip->protocol != protocol ||
		    (ip->frag_off & bpf_htons(IP_OFFSET)))
			return false;
		off = (ip->version_ihl & 0xf) * 4;
		set_ipv4(p->src.addr, ip->saddr);
		set_ipv4(p->dst.addr, ip->daddr);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6_header *ip6 = data;

		if ((void *)(ip6 + 1) > end)
			return false;
		__u8 next = ip6->next_header;

		__builtin_memcpy(p->src.addr, ip6->saddr, 16);
		__builtin_memcpy(p->dst.addr, ip6->daddr, 16);
		off = sizeof(*ip6);
		for (int i = 0; i < IPV6_EXTENSIONS && next != protocol; i++) {
			__u8 ext[2]; /* next header, length in 8 bytes beyond the first 8 */

			if (next != NEXTHDR_HOP && next != NEXTHDR_ROUTING && next != NEXTHDR_DEST)
				return false;
			if (bpf_skb_load_bytes(skb, off, ext, sizeof(ext)))
				return false;
			next = ext[0];
			off += (ext[1] + 1) * 8;
		}
		if (next != protocol)
			return false;
	} else {
		return false;
	}
	*header = off;
	return true;
}

static __always_inline bool parse_udp(struct __sk_buff *skb, struct packet *p)
{
	__be16 ports[2];
	__u32 off;

	if (!parse_ip(skb, p, IPPROTO_UDP, &off))
		return false;

	if (bpf_skb_load_bytes(skb, off, ports, sizeof(ports)))
		return false;
	p->src.port = bpf_ntohs(ports[0]);
	p->dst.port = bpf_ntohs(ports[1]);
	p->payload = off + UDP_HEADER_LEN;
	p->len = skb->len > p->payload ? skb->len - p->payload : 0;
	return true;
}

static __always_inline bool parse_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_header tcp;
	__u32 off;

	if (!parse_ip(skb, p, IPPROTO_TCP, &off))
		return false;
	if (bpf_skb_load_bytes(skb, off, &tcp, sizeof(tcp)))
		return false;
	p->src.port = bpf_ntohs(tcp.source);
	p->dst.port = bpf_ntohs(tcp.dest);
	p->payload = off + (tcp.data_offset >> 4) * 4;
	p->len = skb->len > p->payload ? skb->len - p->payload : 0;
	/* a SYN takes a number of its own, before the data of TCP Fast Open */
	p->seq = bpf_ntohl(tcp.seq) + !!(tcp.flags & TCP_FLAG_SYN);
	p->ack = bpf_ntohl(tcp.ack_seq);
	return true;
}

/*
 * Whether a socket's DNS may be copied: a tunnel or a flood through a DNS port must
 * not fill the ring buffer for all. What is beyond is counted. Two packets at once
 * may both be counted as one: it is a bound, not a measure.
 */
#define DNS_BUDGET (4 * 1024 * 1024) /* bytes of one socket */
#define DNS_BUDGET_NS 1000000000ULL

static __always_inline bool is_affordable(struct egrets_sock *s, __u32 len)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (now - s->budget_ts > DNS_BUDGET_NS) {
		s->budget_ts = now;
		s->dns_bytes = 0;
	}
	s->dns_bytes += len;
	if (s->dns_bytes <= DNS_BUDGET)
		return true;
	count_lost(EGRETS_BUDGET);
	return false;
}

/*
 * Copies the message into a record of constant size that is just big enough.
 * No scratch: a packet coming in interrupts one going out on the same CPU. Of
 * the payload only `len` bytes are written, and only they are read. The length
 * less one is what is checked last: verifiers before 6.8 learn nothing from "not
 * zero", and need both bounds of the register that the helper gets.
 */
#define COPY_DNS(size)                                                                             \
	if (len <= (size)) {                                                                       \
		e = RESERVE_MORE(struct egrets_dns, EGRETS_DNS, size);                             \
		if (!e)                                                                            \
			return;                                                                    \
		e->owner = s->owner;                                                               \
		e->cookie = cookie;                                                                \
		e->server = *server;                                                               \
		e->ingress = ingress;                                                              \
		e->tcp = tcp;                                                                      \
		e->each = tcp ? 0 : skb->gso_size;                                                 \
		e->seq = p->seq;                                                                   \
		e->ack = p->ack;                                                                   \
		e->wire_len = len;                                                                 \
		barrier_var(last);                                                                 \
		if (last < (size) && !bpf_skb_load_bytes(skb, p->payload, e->payload, last + 1))   \
			e->len = len;                                                              \
		submit(e);                                                                         \
		return;                                                                            \
	}

static __always_inline void copy_dns(struct __sk_buff *skb, const struct packet *p,
				     struct egrets_sock *s, __u64 cookie,
				     const struct egrets_endpoint *server, bool ingress, bool tcp)
{
	struct egrets_dns *e;
	__u32 len = p->len;
	__u32 last = len - 1;

	if (!is_affordable(s, len))
		return;
	COPY_DNS(128);
	COPY_DNS(512);
	COPY_DNS(1536);
	COPY_DNS(4096);
	COPY_DNS(65535);
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
	submit(e);
}

/*
 * DNS over TCP. Most TCP is not, and the socket's own destination port, which NAT
 * leaves alone, tells before anything is looked up.
 */
static __always_inline void tcp_packet(struct __sk_buff *skb, bool ingress)
{
	struct bpf_sock *sk = skb->sk;
	struct packet p = {};

	if (!sk || !is_dns_port(bpf_ntohs(sk->dst_port)) || !parse_tcp(skb, &p) || !p.len)
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s && s->dns)
		copy_dns(skb, &p, s, cookie, &s->last, ingress, true);
}

static __always_inline void packet_out(struct __sk_buff *skb)
{
	struct packet p = {};

	if (!parse_udp(skb, &p)) {
		tcp_packet(skb, false);
		return;
	}
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);
	struct egrets_endpoint dst = p.dst;
	struct egrets_flow_key key;

	if (!s)
		return;
	flow_key(&key, cookie, &dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow) {
		if (bpf_map_lookup_elem(&inbound, &key))
			return; /* an answer to a stranger */
		/* NAT has changed the destination: it is the one named last */
		dst = s->last;
		flow_key(&key, cookie, &dst);
		flow = bpf_map_lookup_elem(&flows, &key);
	}
	if (flow) {
		count(skb, flow, &flow->tx_bytes, &flow->tx_packets, p.len);
		if (flow->state == EGRETS_FLOW_NOTED)
			start_flow(&p, flow, s, cookie, &dst);
	}
	/* where the table has no room for the flow too: names must go on */
	if (is_dns_port(dst.port))
		copy_dns(skb, &p, s, cookie, &dst, false, false);
}

static __always_inline void packet_in(struct __sk_buff *skb)
{
	struct packet p = {};

	if (!parse_udp(skb, &p)) {
		tcp_packet(skb, true);
		return;
	}
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p.src);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (flow) {
		count(skb, flow, &flow->rx_bytes, &flow->rx_packets, p.len);
	} else if (!bpf_map_lookup_elem(&inbound, &key)) {
		__u8 one = 1;

		bpf_map_update_elem(&inbound, &key, &one, BPF_ANY);
	}
	/* a server that a DNS client never asked is told too, as unsolicited */
	if (s && s->dns && is_dns_port(p.src.port))
		copy_dns(skb, &p, s, cookie, &p.src, true, false);
}

#endif
