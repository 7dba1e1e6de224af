/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DNS over TCP: a message behind its length, RFC 1035, section 4.2.2. An answer is read if it lies
 * within one segment, and that is where the receiver reads on: else an answer's own data, cut at
 * the right place, could pose as another answer. So where messages begin is known from the first
 * byte of the connection on. Other answers are left to userspace, which is later.
 */
#ifndef EGRETS_POLICY_NAMES_STREAM_H
#define EGRETS_POLICY_NAMES_STREAM_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"
#include "policy_names_answer.h"
#include "policy_names_maps.h"
#include "policy_names_message.h"
#include "policy_names_query.h"
#include "policy_names_types.h"
#include "tcp.h"

#define LENGTH_LEN 2
#define MESSAGES_MAX 8 /* of a segment */

static __always_inline __u32 message_len(struct __sk_buff *skb, __u32 at)
{
	__be16 len = 0;

	return bpf_skb_load_bytes(skb, at, &len, sizeof(len)) ? 0 : bpf_ntohs(len);
}

/* The entry of a connection that asks something. */
__noinline __u32 keep_stream(__u64 id, __u64 cookie)
{
	struct names_scratch *s = scratch(id);
	struct policy_stream stream = {};

	if (!s || bpf_map_lookup_elem(&policy_streams, &cookie))
		return 0;
	s->key = (struct policy_order_value){.key = {cookie}};
	if (make_room(&policy_streams, s, ORDER_STREAMS, POLICY_STREAMS) &&
	    !bpf_map_update_elem(&policy_streams, &cookie, &stream, BPF_NOEXIST))
		return 1;
	count_names_lost(POLICY_LOST_QUERY);
	return 0;
}

/*
 * Queries, each in a segment of its own, as clients send them. That one begins there is not
 * certain: what it makes known is only that the name was asked, and a resolver has to answer.
 */
static __always_inline __u64 stream_asks(struct __sk_buff *skb, const struct packet *packet,
					 __u64 cookie, __u32 generation)
{
	struct packet p = *packet;

	if (!tcp_payload(skb, &p) || !p.len)
		return 0; /* without data */
	__u32 len = message_len(skb, p.payload);

	if (len != p.len - LENGTH_LEN)
		return QUERY_UNREADABLE;
	__u64 id = scratch_open(false);
	struct names_scratch *entry = scratch(id);

	if (!entry)
		return QUERY_UNREADABLE;
	fill_asker(id, cookie, netns_cookie(net_of(skb->sk)));
	entry->query.ifindex = skb->ifindex;
	__u64 result = read_query(skb, id, p.payload + LENGTH_LEN, len, cookie, generation);

	if (result & QUERY_READ)
		keep_stream(id, cookie);
	scratch_close(id);
	return result;
}

/* The messages of a segment, from an offset of the payload on; returns where the next begins. */
static __always_inline __u32 learn_messages(struct __sk_buff *skb, const struct packet *p,
					    struct policy_stream *stream, __u32 at, __u64 cookie,
					    __u32 generation)
{
	for (int i = 0; i < MESSAGES_MAX && at < p->len; i++) {
		__u32 len = message_len(skb, p->payload + at);

		if (len <= DNS_HEADER_LEN) {
			stream->lost = 1; /* or its length is in two segments */
			break;
		}
		if (at + LENGTH_LEN + len > p->len) {
			count_names_lost(POLICY_LOST_STREAM);
			return at + LENGTH_LEN + len;
		}
		__u64 id = scratch_open(true);

		if (id && load_message(skb, id, p->payload + at + LENGTH_LEN, len))
			learn(id, cookie, skb->ifindex, generation);
		if (id)
			scratch_close(id);
		at += LENGTH_LEN + len;
	}
	if (at < p->len)
		stream->lost = 1;
	return at;
}

static __always_inline void stream_answers(struct __sk_buff *skb, const struct packet *packet,
					   __u64 cookie, __u32 generation)
{
	struct policy_stream *stream = bpf_map_lookup_elem(&policy_streams, &cookie);
	struct packet p = *packet;

	if (!stream || stream->lost || !tcp_payload(skb, &p) || !p.len)
		return;
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;
	struct bpf_tcp_sock *tcp = full ? bpf_tcp_sock(full) : NULL;

	/* what the receiver has not waited for may never be read as it is here */
	if (!tcp || p.seq != tcp->rcv_nxt)
		return;
	if (!tcp->bytes_received && !stream->begun) {
		stream->begun = 1;
		stream->next = p.seq;
	}
	__u32 at = stream->next - p.seq;

	if (!stream->begun || at >= 1 << 31) {
		stream->lost = 1;
		return;
	}
	if (at < p.len)
		stream->next = p.seq + learn_messages(skb, &p, stream, at, cookie, generation);
}

#endif
