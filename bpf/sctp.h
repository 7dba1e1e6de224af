/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* SCTP: user data and associations, from its chunks. */
#ifndef EGRETS_SCTP_H
#define EGRETS_SCTP_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "maps.h"
#include "owner.h"
#include "ring.h"

#define SCTP_CHUNKS 96 /* of one packet that are read */
#define SCTP_HEADER_LEN 12
#define SCTP_TAG 4 /* where the verification tag is in the header */
#define SCTP_T 1   /* a chunk's flag: the tag is the one that the receiver sends with */

/* RFC 9260, section 3.2; RFC 8260, section 2.1 */
enum sctp_chunk_type {
	SCTP_DATA = 0,
	SCTP_INIT = 1,
	SCTP_ABORT = 6,
	SCTP_SHUTDOWN_ACK = 8,
	SCTP_COOKIE_ECHO = 10,
	SCTP_COOKIE_ACK = 11,
	SCTP_SHUTDOWN_COMPLETE = 14,
	SCTP_I_DATA = 64,
};

struct chunk_header {
	__u8 type;
	__u8 flags;
	__be16 length; /* with this header, without padding */
};

/* Lengths of the headers before the user's data. */
#define SCTP_DATA_LEN 16
#define SCTP_I_DATA_LEN 20

/* What a packet contains. */
struct sctp_summary {
	__u32 payload;
	bool foreign;  /* the peer that is to answer has not sent it */
	bool requests; /* this side requests an association */
	bool opens;    /* the peer accepts it */
	bool closes;   /* this side has confirmed that the peer shuts it down */
	bool ends;
};

/* The same, packed: the payload or a chunk's length, these, and the newest TSN sent. */
#define SCTP_PAYLOAD 0x00ffffff
#define SCTP_OPENS (1 << 24)
#define SCTP_ENDS (1 << 25)
#define SCTP_OUT (1 << 26) /* an outgoing packet */
#define SCTP_TSN (1 << 27) /* there is a newest TSN */
#define SCTP_REQUESTS (1 << 28)
#define SCTP_COUNTS 29		  /* this bit: the chunk has data that counts, */
#define SCTP_ENDS_BY_T (1u << 30) /* ends, with the flag T */
#define SCTP_CLOSES (1u << 31)	  /* shutdown is acknowledged: only then it can be complete */
#define SCTP_FLAGS                                                                                 \
	(SCTP_OPENS | SCTP_ENDS | SCTP_OUT | SCTP_TSN | SCTP_REQUESTS | SCTP_ENDS_BY_T |           \
	 SCTP_CLOSES)
#define SCTP_HEADER 16 /* behind so many bytes (5 bits from here) */

/*
 * One chunk; 0 if there is none. A global function, verified once instead of for each chunk,
 * as the one below is once instead of for each way to it.
 */
__noinline __u64 sctp_chunk(struct __sk_buff *skb, __u32 off, __u32 newest, __u32 flags)
{
	struct chunk_header chunk;
	__u32 header = 0;
	__be32 number;

	if (bpf_skb_load_bytes(skb, off, &chunk, sizeof(chunk)))
		return 0;
	__u32 len = bpf_ntohs(chunk.length);

	if (len < sizeof(chunk) || off + len > skb->len)
		return 0;
	if (chunk.type == SCTP_DATA)
		header = SCTP_DATA_LEN;
	else if (chunk.type == SCTP_I_DATA)
		header = SCTP_I_DATA_LEN;
	else if (chunk.type == SCTP_INIT)
		flags = (flags & ~SCTP_TSN) | SCTP_REQUESTS; /* a new one starts anew */
	else if (chunk.type == SCTP_COOKIE_ECHO)
		flags |= SCTP_REQUESTS;
	else if (chunk.type == SCTP_COOKIE_ACK)
		flags |= SCTP_OPENS;
	else if (chunk.type == SCTP_SHUTDOWN_ACK && flags & SCTP_OUT)
		flags |= SCTP_CLOSES;
	else if (chunk.type == SCTP_ABORT ||
		 (chunk.type == SCTP_SHUTDOWN_COMPLETE && flags & (SCTP_OUT | SCTP_CLOSES)))
		flags |= chunk.flags & SCTP_T ? SCTP_ENDS_BY_T : SCTP_ENDS;
	if (header && len > header &&
	    !bpf_skb_load_bytes(skb, off + sizeof(chunk), &number, sizeof(number))) {
		__u32 tsn = bpf_ntohl(number);

		if (!(flags & SCTP_OUT) || !(flags & SCTP_TSN) || (__s32)(tsn - newest) > 0) {
			newest = tsn;
			flags |= SCTP_TSN;
			flags |= 1 << SCTP_COUNTS | header << SCTP_HEADER;
		}
	}
	return (__u64)newest << 32 | flags | len;
}

/*
 * User data in the chunks, without retransmissions: an outgoing chunk that is not beyond the
 * newest one (its TSN) was counted before. Incoming retransmissions are counted again. If
 * there are more chunks than are read, the rest is taken to be like them.
 */
__noinline __u64 sctp_parse(struct __sk_buff *skb, __u32 off, __u32 newest, __u32 flags)
{
	__u32 start = off;
	__u32 payload = 0;

	for (int i = 0; i < SCTP_CHUNKS; i++) {
		__u64 r = sctp_chunk(skb, off, newest, flags);
		__u32 len = r & 0xffff;

		if (!r)
			break;
		newest = r >> 32;
		flags = r & SCTP_FLAGS;
		payload += (len - (r >> SCTP_HEADER & 0x1f)) * (r >> SCTP_COUNTS & 1);
		off += (len + 3) & ~3u;
	}
	if (skb->len > off && off > start)
		payload += (__u64)payload * (skb->len - off) / (off - start);
	return (__u64)newest << 32 | flags | (payload & SCTP_PAYLOAD);
}

/*
 * The verification tags (RFC 9260, section 8.5): the peer gives what it sends the tag that this
 * side's INIT has chosen, and this side the one that the peer has. What this side sends is the
 * kernel's, so its tags are right.
 */
static __always_inline void learn_tags(struct __sk_buff *skb, __u32 off, struct egrets_flow *flow,
				       __be32 tag)
{
	struct {
		struct chunk_header header;
		__be32 tag;
	} init;

	if (tag) {
		flow->peer_tag = tag;
		return;
	}
	if (bpf_skb_load_bytes(skb, off, &init, sizeof(init)) || init.header.type != SCTP_INIT)
		return;
	flow->local_tag = init.tag;
	flow->peer_tag = 0;
	flow->closing = 0;
}

/*
 * What a packet means for its flow. What comes in opens and ends nothing without the tag that the
 * kernel looks for, as it drops such packets; this side's ABORT ends an association all the same.
 * So where the peer has begun it, or begun it anew, its end is this side's, or the socket's. Once
 * there is an association, all bytes count: its peer may choose another tag by beginning it anew.
 */
static __always_inline void sctp_read(struct __sk_buff *skb, const struct packet *p,
				      struct egrets_flow *flow, bool out,
				      struct sctp_summary *summary)
{
	__u32 flags = (out ? SCTP_OUT : 0) | (out && flow->has_tsn ? SCTP_TSN : 0) |
		      (flow->closing ? SCTP_CLOSES : 0);
	__u32 off = p->header + SCTP_HEADER_LEN;
	__be32 tag = 0;

	bpf_skb_load_bytes(skb, p->header + SCTP_TAG, &tag, sizeof(tag));
	if (out)
		learn_tags(skb, off, flow, tag);
	__u64 r = sctp_parse(skb, off, flow->tsn, flags);

	summary->payload = r & SCTP_PAYLOAD;
	if (out) {
		summary->requests = r & SCTP_REQUESTS;
		summary->closes = r & SCTP_CLOSES;
		summary->ends = r & (SCTP_ENDS | SCTP_ENDS_BY_T);
		flow->has_tsn = !!(r & SCTP_TSN);
		flow->tsn = r >> 32;
		return;
	}
	bool is_ours = tag && tag == flow->local_tag;
	bool is_reflected = tag && tag == flow->peer_tag;

	summary->opens = is_ours && r & SCTP_OPENS;
	summary->ends = (is_ours && r & SCTP_ENDS) || (is_reflected && r & SCTP_ENDS_BY_T);
	summary->foreign = flow->local_tag && !flow->established && !is_ours && !summary->ends;
}

static __always_inline void report_association(const struct egrets_flow_key *key, __u32 id,
					       bool refused)
{
	struct egrets_association *e = RESERVE(struct egrets_association, EGRETS_ASSOCIATION, id);

	if (!e)
		return;
	e->cookie = key->cookie;
	e->dst = key->peer;
	e->refused = refused;
	submit(e);
}

/* Deletes a socket that was released before. A global function, verified once. */
__noinline int end_released(__u64 cookie)
{
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s) {
		end_flows(cookie, s);
		sock_delete(cookie, s);
	}
	return 0;
}

/*
 * An association begins or ends. A released socket is deleted with its last one. A peer's answer
 * counts once for each request: of what it begins itself it can send any number.
 */
static __always_inline void sctp_associate(const struct egrets_flow_key *key,
					   struct egrets_flow *flow, struct egrets_sock *s,
					   const struct sctp_summary *summary, bool out)
{
	if (summary->requests)
		flow->requested = 1;
	if (summary->closes)
		flow->closing = 1;
	if (summary->opens && flow->requested && !flow->established) {
		flow->requested = 0;
		flow->established = 1;
		__sync_fetch_and_add(&s->associations, 1);
		report_association(key, s->share, false);
	}
	if (!summary->ends)
		return;
	flow->closing = 0;
	if (!flow->established) {
		if (!out && flow->requested) /* else its own process gives up */
			report_association(key, s->share, true);
		flow->requested = 0;
		return;
	}
	flow->established = 0;
	if (s->associations)
		__sync_fetch_and_add(&s->associations, -1);
	if (s->released && !s->associations)
		end_released(key->cookie);
}

#endif
