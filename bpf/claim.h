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
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "mptcp.h"
#include "owner.h"
#include "ring.h"
#include "uapi.h"

/*
 * TCP sends in any process' context. Where a process has the socket locked, it is the current one:
 * interrupts and timers leave their work to it then, and do not send. Its system call may be any
 * that sends, such as a read, which acknowledges. Who merely closes a socket has not used it: any
 * process may have been sent it.
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
	if (s->released || !BPF_CORE_READ(sk, sk_lock.owned))
		return 0;
	/* the kernel's own connections, NFS's for example; MPTCP's paths are a process' */
	if (is_kernel_thread() &&
	    (is_mptcp(sk) || !BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock)))
		return 0;
	fill_owner_of(&s->owner, task, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	s->unowned = 0;
	__sync_fetch_and_add(&unowned_socks, -1);
	struct egrets_claim *e = RESERVE(struct egrets_claim, EGRETS_OWNER);

	if (!e)
		return 0;
	e->owner = s->owner;
	e->cookie = cookie;
	submit(e);
	return 1;
}

#endif
