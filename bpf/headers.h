/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * IP headers, as strangers and raw sockets write them: nothing in them is trusted.
 * What can't be read leaves the packet without ports.
 */
#ifndef EGRETS_HEADERS_H
#define EGRETS_HEADERS_H

#define IPV6_EXTENSIONS 6 /* extension headers that are passed over */
#define IP_OFFSET 0x1fff  /* include/net/ip.h: not a first fragment */
#define IP6_OFFSET 0xfff8 /* include/net/ipv6.h: the same */
#define UDP_HEADER_LEN 8
/* include/net/ipv6.h */
#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AUTH 51
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

struct ipv6_extension { /* RFC 8200, sections 4.2 and 4.5 */
	__u8 next_header;
	__u8 len; /* in 8 bytes beyond the first 8 */
	__be16 frag_off;
};

struct packet {
	struct egrets_endpoint src;
	struct egrets_endpoint dst;
	__u32 header;  /* offset of what follows IP's headers */
	__u32 payload; /* its offset */
	__u32 len;     /* its length */
	__u32 seq;     /* TCP: of the payload's first byte */
	__u32 ack;
	bool headless; /* a later fragment, or headers that can't be read */
};

/* Where a packet's bytes are: in a cgroup's skb, or else in the kernel's memory. */
struct bytes {
	struct __sk_buff *skb;
	const void *data;
	__u32 len;
};

static __always_inline bool load(const struct bytes *from, __u32 off, void *to, __u32 len)
{
	if (from->skb)
		return !bpf_skb_load_bytes(from->skb, off, to, len);
	return off < from->len && len <= from->len - off &&
	       !bpf_probe_read_kernel(to, len, from->data + off);
}

static __always_inline void set_ipv4(__u8 *addr, __be32 ip)
{
	__builtin_memset(addr, 0, 10);
	addr[10] = 0xff;
	addr[11] = 0xff;
	__builtin_memcpy(addr + 12, &ip, 4);
}

static __always_inline void set_protocol(struct packet *p, __u16 protocol)
{
	p->src.protocol = protocol;
	p->dst.protocol = protocol;
}

/* `at` is where the header is. */
static __always_inline void parse_ipv4(const struct ipv4_header *ip, __u32 at, struct packet *p)
{
	__u32 len = (ip->version_ihl & 0xf) * 4;

	set_ipv4(p->src.addr, ip->saddr);
	set_ipv4(p->dst.addr, ip->daddr);
	set_protocol(p, ip->protocol);
	p->headless = (ip->frag_off & bpf_htons(IP_OFFSET)) || len < sizeof(*ip);
	p->header = at + (len < sizeof(*ip) ? sizeof(*ip) : len);
}

/* Where the extension headers have led: packed, for a function that returns a number. */
#define HEADERS(off, next, headless) ((__u64)(off) << 16 | (__u64)(headless) << 8 | (next))

static __always_inline __u64 skip_extensions(const struct bytes *from, __u32 off, __u8 next)
{
	bool headless = false;

	for (int i = 0; i < IPV6_EXTENSIONS && !headless; i++) {
		struct ipv6_extension ext;

		if (next != NEXTHDR_HOP && next != NEXTHDR_ROUTING && next != NEXTHDR_DEST &&
		    next != NEXTHDR_FRAGMENT && next != NEXTHDR_AUTH)
			break;
		if (!load(from, off, &ext, sizeof(ext)))
			return HEADERS(off, next, true);
		if (next == NEXTHDR_FRAGMENT) {
			headless = ext.frag_off & bpf_htons(IP6_OFFSET);
			ext.len = 0; /* reserved */
		}
		off += next == NEXTHDR_AUTH ? (ext.len + 2) * 4 : (ext.len + 1) * 8;
		next = ext.next_header;
	}
	return HEADERS(off, next, headless);
}

static __always_inline void parse_ipv6(const struct ipv6_header *ip6, __u64 headers,
				       struct packet *p)
{
	__builtin_memcpy(p->src.addr, ip6->saddr, 16);
	__builtin_memcpy(p->dst.addr, ip6->daddr, 16);
	set_protocol(p, headers & 0xff);
	p->headless = headers >> 8 & 1;
	p->header = headers >> 16;
}

/* The ports, of what begins with them: TCP, UDP, UDP-Lite, SCTP, DCCP. */
static __always_inline void parse_ports(const struct bytes *from, struct packet *p)
{
	__u16 protocol = p->dst.protocol;
	__be16 ports[2];

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE &&
	    protocol != IPPROTO_SCTP && protocol != IPPROTO_DCCP)
		return;
	if (p->headless || !load(from, p->header, ports, sizeof(ports))) {
		p->headless = true;
		return;
	}
	p->src.port = bpf_ntohs(ports[0]);
	p->dst.port = bpf_ntohs(ports[1]);
}

#endif
