/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The first bytes that a client sends: what is in clear there says whom it wants, with DNS or
 * without. Read are the ClientHello of TLS, wherever it begins (STARTTLS, proxies), requests of
 * HTTP and of SOCKS; and the first packets of QUIC and DTLS. Most packets leave after a look at
 * their socket's counters, or at their first byte.
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
#include "tls.h"

#define STREAM_BEGINNING 16384 /* bytes of a connection that are looked at */
#define PAYLOAD_MAX 4096       /* of these, copied of one message */
#define REQUEST_MAX 2048       /* the same of a request of HTTP */
#define USUAL_HELLO 576	       /* padded to 512 bytes (RFC 7685), in a record */
#define SOCKS_MAX 800	       /* methods, user name and password, destination: RFC 1928, 1929 */

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

	if (!sock || sock->bytes_acked > STREAM_BEGINNING || is_bare(skb))
		return false;
	__u32 syn = sock->snd_una - (__u32)sock->bytes_acked;

	if (!parse_skb(skb, &p) || !tcp_payload(skb, &p))
		return false;
	segment->at = p.seq - syn - 1;
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

/* RFC 9110, section 9; RFC 5789; the preface of HTTP/2: RFC 9113, section 3.4 */
static __always_inline __u32 request_kind(const __u8 *head)
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
		return EGRETS_PAYLOAD_HTTP;
	case METHOD('P', 'R', 'I', ' '):
		return EGRETS_PAYLOAD_HTTP2;
	}
	return EGRETS_PAYLOAD_NONE;
}

#define SOCKS4 4
#define SOCKS4_REQUEST 9 /* the least: without a user's name */
#define SOCKS_BIND 2	 /* and 1 to connect */
#define SOCKS5 5
#define SOCKS5_METHODS 8 /* that a client may offer; there are few */

static __always_inline bool is_socks(const __u8 *head, __u32 len)
{
	__u8 second = head[1]; /* the command; or how many bytes follow in what comes first */

	barrier_var(second);
	if (head[0] == SOCKS4)
		return second && second <= SOCKS_BIND && len >= SOCKS4_REQUEST;
	return head[0] == SOCKS5 && second && second <= SOCKS5_METHODS && len >= 2 + second;
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
	} else if (!segment->at) {
		begins->kind = request_kind(head);
		begins->end = REQUEST_MAX;
		if (!begins->kind && is_socks(head, segment->len)) {
			begins->kind = EGRETS_PAYLOAD_SOCKS;
			begins->end = SOCKS_MAX;
		}
	}
	begins->end += segment->at;
}

#define COPY_PAYLOAD(size)                                                                         \
	if (len <= (size)) {                                                                       \
		if (!within_payload_budget(s, sizeof(*e) + (size)))                                \
			return;                                                                    \
		e = RESERVE_EXTRA(struct egrets_payload, EGRETS_PAYLOAD, s->share, size);          \
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

	COPY_PAYLOAD(USUAL_HELLO);
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
#define QUIC_MIN_INITIAL 1200 /* RFC 9000, section 14.1: of a client's datagram */

static __always_inline bool is_quic_initial(const __u8 *head)
{
	__u32 version = (__u32)head[1] << 24 | (__u32)head[2] << 16 | (__u32)head[3] << 8 | head[4];

	return (version == QUIC_V1 && head[0] >> 4 == QUIC_V1_INITIAL) ||
	       (version == QUIC_V2 && head[0] >> 4 == QUIC_V2_INITIAL);
}

/* RFC 6347, sections 4.1 and 4.2.2; RFC 9147, section 5.3: the first message is in clear. */
#define DTLS_MAJOR 0xfe
#define DTLS_EPOCH 3
#define DTLS_RECORD_HEADER 13
#define DTLS_HEADERS 25
#define DATAGRAM_HEAD (DTLS_RECORD_HEADER + 1)

static __always_inline bool is_dtls_hello(const __u8 *head)
{
	return head[0] == TLS_HANDSHAKE && head[1] == DTLS_MAJOR && !head[DTLS_EPOCH] &&
	       !head[DTLS_EPOCH + 1] && head[DTLS_RECORD_HEADER] == TLS_CLIENT_HELLO;
}

static __always_inline bool may_be_first(__u8 byte)
{
	return byte == TLS_HANDSHAKE || byte >> 4 == QUIC_V1_INITIAL ||
	       byte >> 4 == QUIC_V2_INITIAL;
}

/* Most datagrams leave after a look at their first byte, where that is in the skb's linear part. */
static __always_inline __u32 datagram_kind(struct __sk_buff *skb, __u32 payload)
{
	const __u8 *first = (void *)(long)skb->data + payload;
	const __u8 *end = (void *)(long)skb->data_end;
	__u8 head[DATAGRAM_HEAD];

	if (first + 1 <= end && !may_be_first(*first))
		return EGRETS_PAYLOAD_NONE;
	if (skb->len < payload + DTLS_HEADERS ||
	    bpf_skb_load_bytes(skb, payload, head, sizeof(head)))
		return EGRETS_PAYLOAD_NONE;
	if (is_dtls_hello(head))
		return EGRETS_PAYLOAD_DTLS;
	return skb->len >= payload + QUIC_MIN_INITIAL && is_quic_initial(head)
		       ? EGRETS_PAYLOAD_QUIC
		       : EGRETS_PAYLOAD_NONE;
}

/* False for what is no first packet of QUIC or DTLS. Those with IP options are left out. */
static __always_inline bool find_datagram(struct __sk_buff *skb, struct segment *segment,
					  struct payload_wanted *whole)
{
	__u32 ip = skb->protocol == bpf_htons(ETH_P_IP) ? sizeof(struct ipv4_header)
							: sizeof(struct ipv6_header);
	__u32 payload = ip + UDP_HEADER_LEN;
	struct packet p = {};

	whole->kind = datagram_kind(skb, payload);
	if (!whole->kind || !parse_skb(skb, &p) || p.headless || p.routed ||
	    p.dst.protocol != IPPROTO_UDP || p.header != ip)
		return false;
	set_payload(skb, &p, payload);
	segment->payload = p.payload;
	segment->len = p.len;
	segment->peer = p.dst;
	return p.len;
}

static __always_inline void on_datagram(struct __sk_buff *skb)
{
	struct payload_wanted whole = {.end = PAYLOAD_MAX};
	struct segment datagram = {};

	if (!find_datagram(skb, &datagram, &whole))
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
