/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From a hook to the protocol: destinations and releases of sockets, packets. The packet
 * programs see each packet from its IP header on, going out after the firewall and any NAT,
 * coming in before the socket has it and after NAT was undone.
 */
#ifndef EGRETS_SOCK_H
#define EGRETS_SOCK_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "claim.h"
#include "destination.h"
#include "egrets.h"
#include "flow.h"
#include "headers.h"
#include "ktls.h"
#include "maps.h"
#include "owner.h"
#include "raw.h"
#include "tcp.h"
#include "udp.h"

static __always_inline void on_sock_addr(struct bpf_sock_addr *ctx, struct egrets_endpoint *dst)
{
	if (is_self())
		return;
	if (is_tcp(ctx->type, ctx->protocol)) {
		dst->protocol = IPPROTO_TCP;
		tcp_attempt(ctx, dst);
	} else if (is_udp(ctx->type, ctx->protocol)) {
		dst->protocol = IPPROTO_UDP;
		udp_destination(ctx, dst);
	}
}

/*
 * The last process closes the socket. TCP may go on closing without it, and so may SCTP
 * while it has associations.
 */
static __always_inline void on_sock_release(struct bpf_sock *ctx)
{
	const struct sock *sock = (const struct sock *)ctx;
	/* 0 if no hook has wanted it: most that were accepted. The helper would assign one. */
	__u64 cookie = BPF_CORE_READ(sock, __sk_common.skc_cookie.counter);
	__u32 type = ctx->type, protocol = ctx->protocol, state = ctx->state;

	if (!cookie)
		return;
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s) {
		/* an attempt without an entry that failed at once has no other end */
		if (socks_overflowed && is_tcp(type, protocol) && state == BPF_TCP_CLOSE)
			report_release(cookie, share_of_current(), 0, NULL, false);
		return;
	}
	/* of a TCP connection */
	const struct sock *sk = s->established ? (const struct sock *)s->sk : NULL;

	mark_shared(s);
	s->released = 1;
	if (sk)
		tls_overhead(sk, &s->tls, false);
	if (s->associations) {
		report_release(cookie, s->share, s->shared_tgid, &s->newest_flow, true);
		return;
	}
	if (s->kind || protocol == IPPROTO_UDP)
		end_flows(cookie, s);
	else if (protocol != IPPROTO_MPTCP && !tcp_release(state, s, sk, cookie))
		return;
	sock_delete(cookie, s);
}

/*
 * A datagram of a socket that no hook has reported: it was open before egrets, and no process
 * had it among its files (it was on its way through a Unix socket, or only io_uring had it).
 * A process sends datagrams in its own context. The kernel's own sockets are not reported.
 *
 * A global function, verified once.
 */
__noinline int adopt_sender(struct __sk_buff *skb)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;
	__u64 sk = 0;

	if (!full || !(full->type == SOCK_DGRAM || full->type == SOCK_RAW))
		return 0;
	/* a copy of the pointer is a number, which the verifier lets be read through */
	bpf_probe_read_kernel(&sk, sizeof(sk), &full);
	const struct sock *at = (const struct sock *)sk;

	if (BPF_CORE_READ_BITFIELD_PROBED(at, sk_kern_sock) || is_kernel_thread() ||
	    BPF_CORE_READ(task, tgid) == self_tgid)
		return 0;
	struct egrets_sock *s = sock_create(bpf_get_socket_cookie(skb), at, share_of_current());

	if (!s)
		return 0;
	fill_owner_of(&s->owner, task, BPF_CORE_READ(at, __sk_common.skc_net.net));
	if (full->type == SOCK_RAW)
		s->kind = EGRETS_RAW;
	else if (!is_udp(full->type, full->protocol))
		s->kind = EGRETS_OTHER;
	return 1;
}

static __always_inline void on_egress(struct __sk_buff *skb)
{
	struct packet p = {};

	if (unowned_socks)
		claim_socket(skb);
	if (is_plain_tcp(skb))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s && adopt_sender(skb))
		s = bpf_map_lookup_elem(&socks, &cookie);
	if (!s)
		return;
	if (s->kind)
		raw_sent(skb);
	else if (!parse_skb(skb, &p))
		return;
	else if (p.dst.protocol == IPPROTO_TCP)
		tcp_sent(skb);
	else if (p.dst.protocol == IPPROTO_UDP && !p.headless &&
		 !udp_known(skb, &p, s, cookie, true))
		udp_sent(skb);
}

static __always_inline void on_ingress(struct __sk_buff *skb)
{
	struct packet p = {};

	if (is_plain_tcp(skb))
		return;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (s && s->kind)
		raw_received(skb);
	else if (!parse_skb(skb, &p))
		return;
	else if (s && p.src.protocol == IPPROTO_TCP)
		tcp_received(skb);
	else if (p.src.protocol == IPPROTO_UDP && !p.headless &&
		 !(s ? udp_known(skb, &p, s, cookie, false) : inbound_known(skb, &p, cookie)))
		udp_received(skb);
}

#endif
