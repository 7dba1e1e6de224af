/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The first bytes that a client sends: what is in clear there says whom it wants, with DNS or
 * without. Read are the ClientHello of TLS, wherever it begins (STARTTLS, proxies), and requests
 * of HTTP/1; and the first packets of QUIC. Most packets leave after a look at their socket's
 * counters, or at their first bytes.
 *
 * A program of its own: together with the one that counts flows it would need more of the stack
 * than there is.
 */
#ifndef EGRETS_PAYLOAD_H
#define EGRETS_PAYLOAD_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "budget.h"
#include "egrets.h"
#include "headers.h"
#include "maps.h"
#include "ring.h"
#include "tcp.h"

#define STREAM_BEGINNING 16384 /* bytes of a connection that are looked at */
#define PAYLOAD_MAX 4096       /* of these, copied of one message */
#define REQUEST_MAX 2048       /* the same of a request of HTTP */

/* RFC 8446, sections 5.1 and 4 */
#define TLS_HANDSHAKE 22
#define TLS_MAJOR 3
#define TLS_CLIENT_HELLO 1
#define TLS_RECORD_HEADER 5
#define TLS_HANDSHAKE_HEADER 4
#define TLS_HEADERS (TLS_RECORD_HEADER + TLS_HANDSHAKE_HEADER)

/* The rest of a message that came incomplete: offsets in the stream. */
struct payload_wanted {
	__u32 start;
	__u32 end;
	__u32 kind; /* enum egrets_payload_kind */
	__u32 pad;
};

/* Ends with its socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct payload_wanted);
} payload_wanted SEC(".maps");

struct budgets payload_budgets;

static __always_inline bool within_payload_budget(const struct egrets_sock *s, __u32 cost)
{
	if (within_user_budget(&payload_budgets, s, bpf_ktime_get_boot_ns(), cost))
		return true;
	count_lost(EGRETS_PAYLOAD_BUDGET);
	return false;
}

/* A segment's place in what its socket sends; or a datagram. */
struct segment {
	__u32 at; /* offset of its first byte in the stream */
	__u32 payload;
	__u32 len;
	struct egrets_endpoint peer;
};

/*
 * False for what is not among the first bytes of a connection that this host began. bytes_acked
 * counts the SYN of who dials alone, so the stream of who was dialled seems to begin one byte
 * before 0.
 */
static __always_inline bool find_segment(struct __sk_buff *skb, struct segment *segment)
{
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;
	struct bpf_tcp_sock *sock = full ? bpf_tcp_sock(full) : NULL;
	struct packet p = {};
	struct tcp_header tcp;

	if (!sock || sock->bytes_acked > STREAM_BEGINNING)
		return false;
	__u32 syn = sock->snd_una - (__u32)sock->bytes_acked;

	if (!parse_skb(skb, &p) || p.headless || p.dst.protocol != IPPROTO_TCP ||
	    bpf_skb_load_bytes(skb, p.header, &tcp, sizeof(tcp)))
		return false;
	set_payload(skb, &p, p.header + (tcp.data_offset >> 4) * 4);
	/* a SYN takes a sequence number of its own, before the data of TCP Fast Open */
	segment->at = bpf_ntohl(tcp.seq) + !!(tcp.flags & TCP_FLAG_SYN) - syn - 1;
	segment->payload = p.payload;
	segment->len = p.len;
	segment->peer = p.dst;
	return p.len && segment->at < STREAM_BEGINNING;
}

/* The length of a message with these first bytes, as far as they tell. */
static __always_inline __u32 hello_len(const __u8 *head, __u32 len)
{
	__u32 record = (__u32)head[3] << 8 | head[4];
	__u32 message = (__u32)head[6] << 16 | (__u32)head[7] << 8 | head[8];

	/* in several records, or too short to tell */
	if (len < TLS_HEADERS || message + TLS_HANDSHAKE_HEADER > record)
		return PAYLOAD_MAX;
	return record + TLS_RECORD_HEADER;
}

static __always_inline bool is_hello(const __u8 *head, __u32 len, bool first)
{
	__u8 major = head[1];
	__u8 message = head[TLS_RECORD_HEADER];

	/* or clang computes the address of one of them, by operations that are refused */
	barrier_var(major);
	barrier_var(message);
	if (head[0] != TLS_HANDSHAKE)
		return false;
	/* a message may begin with a segment of one byte, but then only a connection's first */
	if (len <= TLS_RECORD_HEADER)
		return first && (len < 2 || major == TLS_MAJOR);
	return major == TLS_MAJOR && message == TLS_CLIENT_HELLO;
}

#define METHOD(a, b, c, d) ((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* RFC 9110, section 9; RFC 5789 */
static __always_inline bool is_request(const __u8 *head)
{
	switch (METHOD(head[0], head[1], head[2], head[3])) {
	case METHOD('G', 'E', 'T', ' '):
	case METHOD('H', 'E', 'A', 'D'):
	case METHOD('P', 'O', 'S', 'T'):
	case METHOD('P', 'U', 'T', ' '):
	case METHOD('D', 'E', 'L', 'E'):
	case METHOD('C', 'O', 'N', 'N'):
	case METHOD('O', 'P', 'T', 'I'):
	case METHOD('T', 'R', 'A', 'C'):
	case METHOD('P', 'A', 'T', 'C'):
		return true;
	}
	return false;
}

/* What a segment begins, if anything. */
static __always_inline void find_beginning(struct __sk_buff *skb, const struct segment *segment,
					   struct payload_wanted *begins)
{
	__u8 head[TLS_HEADERS] = {};
	__u32 last = segment->len - 1;

	barrier_var(last); /* as in dns.h */
	if (last >= sizeof(head))
		last = sizeof(head) - 1;
	barrier_var(last);
	if (last >= sizeof(head) || bpf_skb_load_bytes(skb, segment->payload, head, last + 1))
		return;
	begins->start = segment->at;
	if (is_hello(head, segment->len, !segment->at)) {
		begins->kind = EGRETS_PAYLOAD_TLS;
		begins->end = hello_len(head, segment->len);
		if (begins->end > PAYLOAD_MAX)
			begins->end = PAYLOAD_MAX;
	} else if (!segment->at && is_request(head)) {
		begins->kind = EGRETS_PAYLOAD_HTTP;
		begins->end = REQUEST_MAX;
	}
	begins->end += segment->at;
}

#define COPY_PAYLOAD(size)                                                                         \
	if (len <= (size)) {                                                                       \
		if (!within_payload_budget(s, sizeof(*e) + (size)))                                \
			return;                                                                    \
		e = RESERVE_EXTRA(struct egrets_payload, EGRETS_PAYLOAD, size);                    \
		if (!e)                                                                            \
			return;                                                                    \
		e->cookie = cookie;                                                                \
		e->peer = segment->peer;                                                           \
		e->gso_size = skb->gso_size;                                                       \
		e->payload_kind = wanted->kind;                                                    \
		e->start = wanted->start;                                                          \
		e->offset = segment->at - wanted->start;                                           \
		barrier_var(last);                                                                 \
		if (last < (size) &&                                                               \
		    !bpf_skb_load_bytes(skb, segment->payload, e->payload, last + 1))              \
			e->len = len;                                                              \
		submit(e);                                                                         \
		return;                                                                            \
	}

/* As in dns.h: into the smallest record of a constant size. */
static __always_inline void copy_payload(struct __sk_buff *skb, const struct segment *segment,
					 const struct payload_wanted *wanted,
					 const struct egrets_sock *s, __u64 cookie)
{
	__u32 room = wanted->end - segment->at;
	__u32 len = segment->len < room ? segment->len : room;
	__u32 last = len - 1;
	struct egrets_payload *e;

	COPY_PAYLOAD(512);
	COPY_PAYLOAD(1024);
	COPY_PAYLOAD(2048);
	COPY_PAYLOAD(PAYLOAD_MAX);
}

/* A request without a body ends with an empty line. */
static __always_inline bool ends_head(struct __sk_buff *skb, const struct segment *segment)
{
	__u8 end[4] = {};

	return segment->len >= sizeof(end) &&
	       !bpf_skb_load_bytes(skb, segment->payload + segment->len - sizeof(end), end,
				   sizeof(end)) &&
	       end[0] == '\r' && end[1] == '\n' && end[2] == '\r' && end[3] == '\n';
}

/* Keeps what a message lacks, until the next segments come. */
static __always_inline void want_rest(struct __sk_buff *skb, struct payload_wanted *begins)
{
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;
	struct payload_wanted *wanted;

	if (!full)
		return;
	wanted = bpf_sk_storage_get(&payload_wanted, full, begins, BPF_SK_STORAGE_GET_F_CREATE);
	if (wanted)
		*wanted = *begins;
}

static __always_inline bool is_wanted(struct __sk_buff *skb, const struct segment *segment,
				      struct payload_wanted *wanted)
{
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;
	struct payload_wanted *found = NULL;

	if (full)
		found = bpf_sk_storage_get(&payload_wanted, full, NULL, 0);
	if (!found)
		return false;
	*wanted = *found;
	return segment->at >= wanted->start && segment->at < wanted->end;
}

/* RFC 9000, section 17.2; RFC 9369, section 3 */
#define QUIC_V1 1
#define QUIC_V2 0x6b3343cf
#define QUIC_V1_INITIAL 0xc /* the upper half of the first byte, which no key protects */
#define QUIC_V2_INITIAL 0xd
#define QUIC_HEAD 5
#define QUIC_MIN_INITIAL 1200 /* RFC 9000, section 14.1: of a client's datagram */

static __always_inline bool is_quic_initial(const __u8 *head)
{
	__u32 version = (__u32)head[1] << 24 | (__u32)head[2] << 16 | (__u32)head[3] << 8 | head[4];

	return (version == QUIC_V1 && head[0] >> 4 == QUIC_V1_INITIAL) ||
	       (version == QUIC_V2 && head[0] >> 4 == QUIC_V2_INITIAL);
}

/*
 * False for what is no first packet of QUIC. Most datagrams leave because they are short, or after
 * a look at their first bytes, where they are without IP options.
 */
static __always_inline bool find_initial(struct __sk_buff *skb, struct segment *segment)
{
	__u32 ip = skb->protocol == bpf_htons(ETH_P_IP) ? sizeof(struct ipv4_header)
							: sizeof(struct ipv6_header);
	__u32 payload = ip + UDP_HEADER_LEN;
	__u8 head[QUIC_HEAD];
	struct packet p = {};

	if (skb->len < payload + QUIC_MIN_INITIAL ||
	    bpf_skb_load_bytes(skb, payload, head, sizeof(head)) || !is_quic_initial(head))
		return false;
	if (!parse_skb(skb, &p) || p.headless || p.routed || p.dst.protocol != IPPROTO_UDP ||
	    p.header != ip)
		return false;
	set_payload(skb, &p, payload);
	segment->payload = p.payload;
	segment->len = p.len;
	segment->peer = p.dst;
	return p.len;
}

static __always_inline void on_datagram(struct __sk_buff *skb)
{
	struct payload_wanted whole = {.end = PAYLOAD_MAX, .kind = EGRETS_PAYLOAD_QUIC};
	struct segment datagram = {};

	if (!find_initial(skb, &datagram))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s)
		copy_payload(skb, &datagram, &whole, s, cookie);
}

static __always_inline void on_segment(struct __sk_buff *skb)
{
	struct payload_wanted wanted = {};
	struct segment segment = {};

	if (!find_segment(skb, &segment))
		return;
	find_beginning(skb, &segment, &wanted);
	if (!wanted.kind && !is_wanted(skb, &segment, &wanted))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s)
		return; /* egrets' own, or one that nothing is reported of */
	if (segment.at == wanted.start && segment.len < wanted.end - wanted.start &&
	    !(wanted.kind == EGRETS_PAYLOAD_HTTP && ends_head(skb, &segment)))
		want_rest(skb, &wanted);
	copy_payload(skb, &segment, &wanted, s, cookie);
}

static __always_inline void on_payload(struct __sk_buff *skb)
{
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;

	if (!full)
		return;
	if (full->protocol == IPPROTO_TCP)
		on_segment(skb);
	else if (full->protocol == IPPROTO_UDP)
		on_datagram(skb);
}

#endif
