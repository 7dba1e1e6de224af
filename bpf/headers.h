/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * IP headers, written by other hosts and by raw sockets: nothing in them is trusted. A packet
 * whose headers can't be read has no ports.
 */
#ifndef EGRETS_HEADERS_H
#define EGRETS_HEADERS_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "uapi.h"

#define IPV6_EXTENSIONS 6 /* extension headers skipped */
#define IP_OFFSET 0x1fff  /* include/net/ip.h: not a first fragment */
#define IP6_OFFSET 0xfff8 /* include/net/ipv6.h: the same */
#define UDP_HEADER_LEN 8
/* include/uapi/linux/ip.h */
#define IPOPT_END 0
#define IPOPT_NOOP 1
#define IPOPT_LSRR 131
#define IPOPT_SSRR 137
#define MAX_IPOPTLEN 40
/* include/net/ipv6.h */
#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AUTH 51
#define NEXTHDR_DEST 60

/* Wire formats: not the kernel's structs, whose fields CO-RE would relocate. */

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
	__u32 header;  /* offset of the header after IP's */
	__u32 payload; /* offset of the payload */
	__u32 len;     /* length of the payload */
	__u32 seq;     /* TCP: of the payload's first byte */
	__u32 ack;
	bool headless; /* a later fragment, or headers that can't be read */
	bool routed;   /* with a source route: dst is its next hop */
};

/* Where to read a packet: from the skb of a cgroup program, else from kernel memory. */
struct byte_source {
	struct __sk_buff *skb;
	const void *data;
	__u32 len;
};

static __always_inline bool read_bytes(const struct byte_source *from, __u32 off, void *to,
				       __u32 len)
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

/* `at` is the header's offset. */
static __always_inline void parse_ipv4(const struct ipv4_header *ip, __u32 at, struct packet *p)
{
	__u32 len = (ip->version_ihl & 0xf) * 4;

	set_ipv4(p->src.addr, ip->saddr);
	set_ipv4(p->dst.addr, ip->daddr);
	set_protocol(p, ip->protocol);
	p->headless = (ip->frag_off & bpf_htons(IP_OFFSET)) || len < sizeof(*ip);
	p->header = at + (len < sizeof(*ip) ? sizeof(*ip) : len);
}

static __always_inline bool is_extension(__u8 next)
{
	return next == NEXTHDR_HOP || next == NEXTHDR_ROUTING || next == NEXTHDR_DEST ||
	       next == NEXTHDR_FRAGMENT || next == NEXTHDR_AUTH;
}

/* Result of skip_extensions, packed because a global function returns a number. */
#define EXTENSIONS(off, next, headless, routed)                                                    \
	((__u64)(off) << 16 | (__u64)(routed) << 9 | (__u64)(headless) << 8 | (next))

static __always_inline __u64 skip_extensions(const struct byte_source *from, __u32 off, __u8 next)
{
	bool headless = false;
	bool routed = false;

	for (int i = 0; i < IPV6_EXTENSIONS && !headless; i++) {
		struct ipv6_extension ext;

		if (!is_extension(next))
			break;
		if (!read_bytes(from, off, &ext, sizeof(ext)))
			return EXTENSIONS(off, next, true, routed);
		if (next == NEXTHDR_FRAGMENT) {
			headless = ext.frag_off & bpf_htons(IP6_OFFSET);
			ext.len = 0; /* reserved */
		}
		if (next == NEXTHDR_ROUTING)
			routed = true;
		off += next == NEXTHDR_AUTH ? (ext.len + 2) * 4 : (ext.len + 1) * 8;
		next = ext.next_header;
	}
	/* more of them than are skipped: what they hide has ports, too */
	return EXTENSIONS(off, next, headless || is_extension(next), routed);
}

static __always_inline void parse_ipv6(const struct ipv6_header *ip6, __u64 headers,
				       struct packet *p)
{
	__builtin_memcpy(p->src.addr, ip6->saddr, 16);
	__builtin_memcpy(p->dst.addr, ip6->daddr, 16);
	set_protocol(p, headers & 0xff);
	p->headless = headers >> 8 & 1;
	p->routed = headers >> 9 & 1;
	p->header = headers >> 16;
}

/* The ports of protocols whose header begins with them: TCP, UDP, UDP-Lite, SCTP. */
static __always_inline void parse_ports(const struct byte_source *from, struct packet *p)
{
	__u16 protocol = p->dst.protocol;
	__be16 ports[2];

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE &&
	    protocol != IPPROTO_SCTP)
		return;
	if (p->headless || !read_bytes(from, p->header, ports, sizeof(ports))) {
		p->headless = true;
		return;
	}
	p->src.port = bpf_ntohs(ports[0]);
	p->dst.port = bpf_ntohs(ports[1]);
}

/* Set at load: no process can make two next hops look like one. */
const volatile __u32 route_seed;

/* Distinguishes flows by the next hop of their source routes. */
static __always_inline __u32 route_hash(const __u8 *hop)
{
	__u32 hash = route_seed;
	__u32 words[4];

	__builtin_memcpy(words, hop, sizeof(words));
	for (int i = 0; i < 4; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b1; /* the golden ratio, include/linux/hash.h */
		hash ^= hash >> 15;
	}
	return hash < EGRETS_ROUTES ? EGRETS_ROUTES : hash;
}

static __always_inline void set_payload(struct __sk_buff *skb, struct packet *p, __u32 at)
{
	p->payload = at;
	p->len = skb->len > at ? skb->len - at : 0;
}

/*
 * A global function, verified once: else the verifier would check everything that follows
 * for each path through the extension headers.
 */
__noinline __u64 skip_skb_extensions(struct __sk_buff *skb, __u32 next)
{
	struct byte_source from = {.skb = skb};

	return skip_extensions(&from, sizeof(struct ipv6_header), next);
}

#define IP_SOURCE_ROUTE (~0u)

/*
 * The offset of the option behind the one at this offset, RFC 791; 0 if there is none, or
 * IP_SOURCE_ROUTE if it is one. Verified once instead of for each option.
 */
__noinline __u32 next_option(struct __sk_buff *skb, __u32 off)
{
	__u8 option[2] = {};

	if (bpf_skb_load_bytes(skb, off, option, sizeof(option)) || option[0] == IPOPT_END)
		return 0;
	if (option[0] == IPOPT_LSRR || option[0] == IPOPT_SSRR)
		return IP_SOURCE_ROUTE;
	off += option[0] == IPOPT_NOOP || !option[1] ? 1 : option[1];
	return off < sizeof(struct ipv4_header) + MAX_IPOPTLEN ? off : 0;
}

/* Whether there is a source route among the options. Verified once, likewise. */
__noinline __u32 has_source_route(struct __sk_buff *skb)
{
	__u32 off = sizeof(struct ipv4_header);

	for (int i = 0; i < MAX_IPOPTLEN && off && off != IP_SOURCE_ROUTE; i++)
		off = next_option(skb, off);
	return off == IP_SOURCE_ROUTE;
}

/* False without an IP header. */
static __always_inline bool parse_skb(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct byte_source from = {.skb = skb};

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4_header *ip = data;

		if ((void *)(ip + 1) > end)
			return false;
		parse_ipv4(ip, 0, p);
		p->routed = p->header > sizeof(*ip) && has_source_route(skb);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6_header *ip6 = data;

		if ((void *)(ip6 + 1) > end)
			return false;
		parse_ipv6(ip6, skip_skb_extensions(skb, ip6->next_header), p);
	} else {
		return false;
	}
	parse_ports(&from, p);
	set_payload(skb, p, p->header);
	return true;
}

#endif
