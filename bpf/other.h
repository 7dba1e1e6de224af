/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is neither TCP nor UDP: UDP-Lite, SCTP, DCCP, ping and raw sockets. Their
 * connect and sendmsg pass no hook that all kernels have, so the owner is whoever makes
 * the socket, and a flow is added with its first packet. Counted is what the process
 * wrote: the payload where the kernel makes the protocol's header (UDP-Lite, SCTP,
 * DCCP), else all that follows IP's.
 */
#ifndef EGRETS_OTHER_H
#define EGRETS_OTHER_H

#define SCTP_CHUNKS 96 /* of one packet that are looked at */
#define SCTP_HEADER_LEN 12
#define DCCP_DATA_HEADER_LEN 12

/* RFC 9260, section 3.2; RFC 8260, section 2.1 */
enum sctp_chunk_type {
	SCTP_DATA = 0,
	SCTP_INIT = 1,
	SCTP_ABORT = 6,
	SCTP_COOKIE_ACK = 11,
	SCTP_SHUTDOWN_COMPLETE = 14,
	SCTP_I_DATA = 64,
};

struct chunk_header {
	__u8 type;
	__u8 flags;
	__be16 length; /* this header's included, padding not */
};

/* Lengths of the headers before the user's data. */
#define SCTP_DATA_LEN 16
#define SCTP_I_DATA_LEN 20

/* RFC 4340, section 5.1 */
enum dccp_type {
	DCCP_REQUEST = 0,
	DCCP_RESPONSE = 1,
	DCCP_DATA = 2,
	DCCP_DATAACK = 4,
	DCCP_RESET = 7,
};

struct dccp_header {
	__be16 source;
	__be16 dest;
	__u8 data_offset; /* in words */
	__u8 ccval_cscov;
	__be16 checksum;
	__u8 type; /* in bits 1 to 4 */
};

/* A socket is made: cgroup/sock_create. */
static __always_inline void created(struct bpf_sock *ctx)
{
	struct egrets_owner owner = {};

	if (is_tcp(ctx->type, ctx->protocol) || is_udp(ctx->type, ctx->protocol) ||
	    current_tgid() == self_tgid)
		return;
	__u64 cookie = bpf_get_socket_cookie(ctx);

	fill_owner(&owner);
	owner.netns_cookie = bpf_get_netns_cookie(ctx);
	owner.netns = netns_of(ctx);
	struct egrets_sock *s = own(cookie, ctx, &owner);

	if (s)
		s->kind = ctx->type == SOCK_RAW ? EGRETS_RAW : EGRETS_OTHER;
}

/* What a packet of SCTP or DCCP has in it. */
struct contents {
	__u32 payload;
	bool opens; /* the first packet of an association was answered with yes */
	bool ends;
};

/* The same of SCTP, packed: the payload, these, and the newest TSN that went out. */
#define SCTP_PAYLOAD 0x00ffffff
#define SCTP_OPENS (1 << 24)
#define SCTP_ENDS (1 << 25)
#define SCTP_OUT (1 << 26) /* asked for what goes out */
#define SCTP_TSN (1 << 27) /* there is a newest TSN */

/*
 * The user's data in SCTP's chunks, without what is sent again: a chunk that is not
 * beyond the newest one (its TSN) was counted before. What comes in again is counted
 * again. Of more chunks than are looked at the rest is taken to be like them.
 */
__noinline __u64 sctp_contents(struct __sk_buff *skb, __u32 off, __u32 newest, __u32 flags)
{
	__u32 start = off;
	__u32 payload = 0;

	for (int i = 0; i < SCTP_CHUNKS; i++) {
		struct chunk_header chunk;
		__u32 header = 0;
		__be32 number;

		if (bpf_skb_load_bytes(skb, off, &chunk, sizeof(chunk)))
			break;
		__u32 len = bpf_ntohs(chunk.length);

		if (len < sizeof(chunk))
			break;
		if (chunk.type == SCTP_DATA)
			header = SCTP_DATA_LEN;
		else if (chunk.type == SCTP_I_DATA)
			header = SCTP_I_DATA_LEN;
		else if (chunk.type == SCTP_INIT)
			flags &= ~SCTP_TSN; /* a new association counts anew */
		else if (chunk.type == SCTP_COOKIE_ACK)
			flags |= SCTP_OPENS;
		else if (chunk.type == SCTP_ABORT || chunk.type == SCTP_SHUTDOWN_COMPLETE)
			flags |= SCTP_ENDS;
		if (header && len > header &&
		    !bpf_skb_load_bytes(skb, off + sizeof(chunk), &number, sizeof(number))) {
			__u32 tsn = bpf_ntohl(number);

			if (!(flags & SCTP_OUT) || !(flags & SCTP_TSN) ||
			    (__s32)(tsn - newest) > 0) {
				payload += len - header;
				newest = tsn;
				flags |= SCTP_TSN;
			}
		}
		off += (len + 3) & ~3u;
	}
	if (skb->len > off && off > start)
		payload += (__u64)payload * (skb->len - off) / (off - start);
	return (__u64)newest << 32 | flags | (payload & SCTP_PAYLOAD);
}

static __always_inline void read_sctp(struct __sk_buff *skb, const struct packet *p,
				      struct egrets_flow *flow, bool out, struct contents *c)
{
	__u32 flags = (out ? SCTP_OUT : 0) | (out && flow->has_tsn ? SCTP_TSN : 0);
	__u64 r = sctp_contents(skb, p->header + SCTP_HEADER_LEN, flow->tsn, flags);

	c->payload = r & SCTP_PAYLOAD;
	c->opens = !out && r & SCTP_OPENS;
	c->ends = r & SCTP_ENDS;
	if (out) {
		flow->has_tsn = !!(r & SCTP_TSN);
		flow->tsn = r >> 32;
	}
}

static __always_inline void read_dccp(struct __sk_buff *skb, const struct packet *p, bool out,
				      struct contents *c)
{
	struct dccp_header dccp;

	if (bpf_skb_load_bytes(skb, p->header, &dccp, sizeof(dccp)))
		return;
	__u32 type = (dccp.type >> 1) & 0xf;
	__u32 header = p->header + dccp.data_offset * 4;

	if ((type <= DCCP_DATA || type == DCCP_DATAACK) && skb->len > header)
		c->payload = skb->len - header;
	c->opens = type == DCCP_RESPONSE && !out;
	c->ends = type == DCCP_RESET;
}

static __always_inline void read_contents(struct __sk_buff *skb, const struct packet *p,
					  const struct egrets_sock *s, struct egrets_flow *flow,
					  bool out, struct contents *c)
{
	__u16 protocol = p->dst.protocol;

	c->payload = p->len;
	if (s->kind == EGRETS_RAW || p->headless)
		return;
	if (protocol == IPPROTO_UDPLITE)
		c->payload = p->len > UDP_HEADER_LEN ? p->len - UDP_HEADER_LEN : 0;
	else if (protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP)
		c->payload = 0;
	if (protocol == IPPROTO_SCTP)
		read_sctp(skb, p, flow, out, c);
	else if (protocol == IPPROTO_DCCP)
		read_dccp(skb, p, out, c);
}

static __always_inline void report_association(const struct egrets_flow_key *key, bool refused)
{
	struct egrets_association *e = RESERVE(struct egrets_association, EGRETS_ASSOCIATION);

	if (!e)
		return;
	e->cookie = key->cookie;
	e->dst = key->peer;
	e->refused = refused;
	submit(e);
}

/* A socket that was closed before. Verified once, by itself. */
__noinline int end_closed(__u64 cookie)
{
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s) {
		end_flows(cookie, s);
		bpf_map_delete_elem(&socks, &cookie);
	}
	return 0;
}

/* An association is there, or ends. A closed socket goes with its last one. */
static __always_inline void associate(const struct egrets_flow_key *key, struct egrets_flow *flow,
				      struct egrets_sock *s, const struct contents *c, bool out)
{
	if (c->opens && !flow->established) {
		flow->established = 1;
		__sync_fetch_and_add(&s->associations, 1);
		report_association(key, false);
	}
	if (!c->ends)
		return;
	if (!flow->established) {
		if (!out) /* else its own process gives up */
			report_association(key, true);
		return;
	}
	flow->established = 0;
	if (s->associations)
		__sync_fetch_and_add(&s->associations, -1);
	if (s->released && !s->associations)
		end_closed(key->cookie);
}

static __always_inline void other_out(struct __sk_buff *skb, const struct packet *p,
				      struct egrets_sock *s, __u64 cookie)
{
	struct contents c = {};
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->dst);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow) {
		if (bpf_map_lookup_elem(&inbound, &key))
			return; /* an answer to a stranger */
		flow = add_flow(s, &key, &p->dst);
		if (!flow)
			return;
	}
	if (flow->state == EGRETS_FLOW_NOTED)
		start_flow(p, flow, s, cookie, &p->dst);
	read_contents(skb, p, s, flow, true, &c);
	count(skb, flow, &flow->tx_bytes, &flow->tx_packets, c.payload);
	associate(&key, flow, s, &c, true);
}

/*
 * A raw socket gets a copy of all that comes in over its protocol, so only what comes
 * from a flow's destination is counted, and nobody is a stranger that is answered.
 */
static __always_inline void other_in(struct __sk_buff *skb, const struct packet *p,
				     struct egrets_sock *s, __u64 cookie)
{
	struct contents c = {};
	struct egrets_flow_key key;

	flow_key(&key, cookie, &p->src);
	struct egrets_flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow) {
		if (s->kind == EGRETS_OTHER)
			note_inbound(&key);
		return;
	}
	read_contents(skb, p, s, flow, false, &c);
	count(skb, flow, &flow->rx_bytes, &flow->rx_packets, c.payload);
	associate(&key, flow, s, &c, false);
}

#endif
