/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TCP connections of which no process is known: they were open before egrets, and no process had
 * them among its files (they were on their way through a Unix socket, or only io_uring had them);
 * or a kernel thread has added them to an MPTCP connection that was accepted. Each belongs to the
 * first process that is seen to use it.
 */
#ifndef EGRETS_CLAIM_H
#define EGRETS_CLAIM_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"
#include "maps.h"
#include "mptcp.h"
#include "owner.h"
#include "ring.h"
#include "uapi.h"

#define TCP_FLAG_RST 0x04 /* RFC 9293, section 3.1 */

/* Whether TCP resets the connection with this packet of its. Verified once. */
__noinline int is_reset(struct __sk_buff *skb)
{
	__u32 off = 0;
	__u8 byte = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		bpf_skb_load_bytes(skb, 0, &byte, sizeof(byte));
		off = (byte & 0xf) * 4;
	} else {
		bpf_skb_load_bytes(skb, __builtin_offsetof(struct ipv6_header, next_header), &byte,
				   sizeof(byte));
		off = skip_skb_extensions(skb, byte) >> 16;
	}
	off += __builtin_offsetof(struct tcp_header, flags);
	return !bpf_skb_load_bytes(skb, off, &byte, sizeof(byte)) && byte & TCP_FLAG_RST;
}

/*
 * TCP sends in any process' context. Where a process has the socket locked, it is the current one:
 * interrupts and timers leave their work to it then, and do not send. Its system call may be any
 * that sends, such as a read, which acknowledges. Who merely closes a socket has not used it: any
 * process may have been sent it. Nor has who resets it, or reads its state, through sock_diag(7),
 * as ss does: such a process answers what has come in while it had the lock, too, and the packets
 * that wait for that are counted until the last one of them is answered.
 *
 * A global function, verified once.
 */
__noinline int claim_socket(struct __sk_buff *skb)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;

	if (!full || full->type != SOCK_STREAM)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &cookie);

	if (!s || !s->unowned)
		return 0;
	const struct sock *sk = address_of(full);

	s->sk = (__u64)sk; /* userspace created the entry without it */
	if (s->released || !BPF_CORE_READ(sk, sk_lock.owned) || BPF_CORE_READ(sk, sk_backlog.len) ||
	    is_reset(skb))
		return 0;
	/* the kernel's own connections, NFS's for example; MPTCP's paths are a process' */
	if (is_kernel_thread() &&
	    (is_mptcp(sk, false) || !BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock)))
		return 0;
	fill_owner_of(&s->owner, task, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	if (s->shared_tgid == s->owner.tgid)
		s->shared_tgid = 0; /* it had the socket as egrets started */
	s->unowned = 0;
	__sync_fetch_and_add(&unowned_socks, -1);
	struct egrets_claim *e = RESERVE(struct egrets_claim, EGRETS_OWNER, share_of_current());

	if (!e)
		return 0;
	e->owner = s->owner;
	e->cookie = cookie;
	submit(e);
	return 1;
}

#endif
