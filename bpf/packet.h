/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What passes the sockets: flows are counted, DNS messages are copied. The programs
 * see each packet from its IP header on, going out after the firewall
 * and any NAT, coming in before the socket has it and after NAT was undone.
 */
#ifndef EGRETS_PACKET_H
#define EGRETS_PACKET_H

#define TCP_FLAG_SYN 0x02 /* RFC 9293, section 3.1 */

struct tcp_header { /* RFC 9293, section 3.1 */
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 data_offset; /* in words, in its upper half */
	__u8 flags;
};

static __always_inline void set_payload(struct __sk_buff *skb, struct packet *p, __u32 at)
{
	p->payload = at;
	p->len = skb->len > at ? skb->len - at : 0;
}

/*
 * Verified once, by itself: else the verifier would go through all that follows for each
 * way through the headers. So is what reads SCTP.
 */
__noinline __u64 extensions(struct __sk_buff *skb, __u32 next)
{
	struct bytes from = {.skb = skb};

	return skip_extensions(&from, sizeof(struct ipv6_header), next);
}

/* False where there is no IP header. */
static __always_inline bool parse(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct bytes from = {.skb = skb};

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4_header *ip = data;

		if ((void *)(ip + 1) > end)
			return false;
		parse_ipv4(ip, 0, p);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6_header *ip6 = data;

		if ((void *)(ip6 + 1) > end)
			return false;
		parse_ipv6(ip6, extensions(skb, ip6->next_header), p);
	} else {
		return false;
	}
	parse_ports(&from, p);
	set_payload(skb, p, p->header);
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

/*
 * Most packets are TCP's, and nothing is to be told of them: the socket's own ports,
 * which NAT leaves alone, tell before anything is parsed. A raw socket, which may
 * write TCP too, has its protocol for a port (inet_create, net/ipv4/af_inet.c).
 */
static __always_inline bool is_plain_tcp(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv4_header *ip = data;
	struct ipv6_header *ip6 = data;
	struct bpf_sock *sk = skb->sk;

	if (!sk || is_dns_port(bpf_ntohs(sk->dst_port)))
		return false;
	if (sk->src_port < IPPROTO_MAX) {
		struct bpf_sock *full = bpf_sk_fullsock(sk);

		if (!full || full->type == SOCK_RAW)
			return false;
	}
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return (void *)(ip + 1) <= end && ip->protocol == IPPROTO_TCP;
	return (void *)(ip6 + 1) <= end && ip6->next_header == IPPROTO_TCP;
}

/* DNS over TCP. */
static __always_inline void tcp_packet(struct __sk_buff *skb, struct packet *p,
				       struct egrets_sock *s, __u64 cookie, bool ingress)
{
	struct tcp_header tcp;

	if (!s->dns || p->headless || bpf_skb_load_bytes(skb, p->header, &tcp, sizeof(tcp)))
		return;
	set_payload(skb, p, p->header + (tcp.data_offset >> 4) * 4);
	/* a SYN takes a number of its own, before the data of TCP Fast Open */
	p->seq = bpf_ntohl(tcp.seq) + !!(tcp.flags & TCP_FLAG_SYN);
	p->ack = bpf_ntohl(tcp.ack_seq);
	if (p->len)
		copy_dns(skb, p, s, cookie, &s->last, ingress, true);
}

static __always_inline void udp_out(struct __sk_buff *skb, struct packet *p, struct egrets_sock *s,
				    __u64 cookie)
{
	struct egrets_endpoint dst = p->dst;
	struct egrets_flow_key key;

	set_payload(skb, p, p->header + UDP_HEADER_LEN);
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
		count(skb, flow, &flow->tx_bytes, &flow->tx_packets, p->len);
		if (flow->state == EGRETS_FLOW_NOTED)
			start_flow(p, flow, s, cookie, &dst);
	}
	/* where the table has no room for the flow too: names must go on */
	if (is_dns_port(dst.port))
		copy_dns(skb, p, s, cookie, &dst, false, false);
}

static __always_inline void udp_in(struct __sk_buff *skb, struct packet *p, struct egrets_sock *s,
				   __u64 cookie)
{
	struct egrets_flow_key key;

	set_payload(skb, p, p->header + UDP_HEADER_LEN);
	flow_key(&key, cookie, &p->src);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (flow)
		count(skb, flow, &flow->rx_bytes, &flow->rx_packets, p->len);
	else
		note_inbound(&key);
	/* a server that a DNS client never asked is told too, as unsolicited */
	if (s && s->dns && is_dns_port(p->src.port))
		copy_dns(skb, p, s, cookie, &p->src, true, false);
}

static __always_inline void packet_out(struct __sk_buff *skb)
{
	struct packet p = {};

	if (is_plain_tcp(skb) || !parse(skb, &p))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s)
		return;
	if (s->kind)
		other_out(skb, &p, s, cookie);
	else if (p.dst.protocol == IPPROTO_TCP)
		tcp_packet(skb, &p, s, cookie, false);
	else if (p.dst.protocol == IPPROTO_UDP && !p.headless)
		udp_out(skb, &p, s, cookie);
}

static __always_inline void packet_in(struct __sk_buff *skb)
{
	struct packet p = {};

	if (is_plain_tcp(skb) || !parse(skb, &p))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s && s->kind)
		other_in(skb, &p, s, cookie);
	else if (s && p.src.protocol == IPPROTO_TCP)
		tcp_packet(skb, &p, s, cookie, true);
	else if (p.src.protocol == IPPROTO_UDP && !p.headless)
		udp_in(skb, &p, s, cookie);
}

#endif
