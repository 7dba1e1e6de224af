/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The errno of an attempt that fails at once and so makes no change of state: the return
 * value of the call that connects. The cgroup hook records which socket its thread connects,
 * and the return looks it up. Each hook set traces other returns:
 *
 *   kprobe      of tcp_v4_connect and tcp_v6_connect, which every attempt passes, and of
 *               tcp_v4_pre_connect and tcp_v6_pre_connect, where a cgroup's policy refuses
 *               it before (__inet_stream_connect, net/ipv4/af_inet.c).
 *   tracepoint  of connect(2). An attempt by sendmsg (TCP Fast Open) or by io_uring passes
 *               none, and may leave its entry behind, which the next connect(2) deletes as it
 *               begins.
 */
#ifndef EGRETS_CONNECT_ERRNO_H
#define EGRETS_CONNECT_ERRNO_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"
#include "maps.h"
#include "owner.h"
#include "ring.h"
#include "uapi.h"

/* 1 if the return of every attempt is traced. Set before the hooks attach. */
__u32 all_connects_traced;

static __always_inline struct connect_call *call_of(__u64 thread)
{
	return bpf_map_lookup_elem(&connect_calls, &thread);
}

/*
 * A thread that connects again, or exits, is inside no call: the return of the one in its
 * entry was missed. So each return that a kretprobe misses, because it traces a limited
 * number of threads at once (maxactive), is counted, if later.
 */
static __always_inline void call_abandon(struct connect_call *call)
{
	if (call->cookie && all_connects_traced)
		count_lost(EGRETS_RETURN);
	call->cookie = 0;
}

static __always_inline void thread_exits(__u64 thread)
{
	struct connect_call *call = call_of(thread);

	if (!call)
		return;
	call_abandon(call);
	bpf_map_delete_elem(&connect_calls, &thread);
}

/* connect(2) begins. */
static __always_inline void connect_entered(void)
{
	struct connect_call *call = call_of(bpf_get_current_pid_tgid());

	if (call)
		call_abandon(call);
}

/* The cgroup hook: this thread connects this socket. */
static __always_inline void connect_started(__u64 cookie)
{
	struct connect_call now = {.thread = bpf_get_current_pid_tgid(), .cookie = cookie};
	struct connect_call *call = call_of(now.thread);

	if (call) {
		call_abandon(call);
		*call = now;
	} else if (bpf_map_update_elem(&connect_calls, &now.thread, &now, BPF_ANY)) {
		count_lost(EGRETS_RETURN);
	}
}

/*
 * The attempt sends its SYN, in the thread that connects: from here on its outcome is a change
 * of state. connect(2) may wait for that, and its entry need not. tcp_v4_connect does not wait.
 */
static __always_inline void connect_sends(void)
{
	struct connect_call *call;

	if (all_connects_traced)
		return;
	call = call_of(current_thread());
	if (call)
		call->cookie = 0;
}

static __always_inline void connect_returned(long ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct connect_call *call = call_of(thread);
	__u64 cookie = call ? call->cookie : 0;

	/*
	 * The attempt has sent its SYN; or tcp_v6_connect returns, after tcp_v4_connect inside of
	 * it has reported.
	 */
	if (!cookie)
		return;
	if (call->thread != thread) {
		count_lost(EGRETS_RETURN);
		return;
	}
	call->cookie = 0;
	/*
	 * A blocking connect that a signal interrupts goes on in the background, as a
	 * non-blocking one does; the kernel turns ERESTARTSYS into EINTR after this point.
	 */
	if (ret >= 0 || ret == -EINPROGRESS || ret == -EINTR || ret == -ERESTARTSYS)
		return;
	struct egrets_errno *e = RESERVE(struct egrets_errno, EGRETS_ERRNO, share_of_current());

	if (!e)
		return;
	e->cookie = cookie;
	e->err = -ret;
	submit(e);
}

/*
 * The cgroup policies have run: if they allow it, the attempt itself comes next. These two
 * errors are returned before they run, and so before there is an entry.
 */
static __always_inline void pre_connect_returned(int ret)
{
	if (ret && ret != -EINVAL && ret != -EAFNOSUPPORT)
		connect_returned(ret);
}

/*
 * The errno of an attempt that ends: sk_err. A rejection by ICMP that arrives while the process
 * is inside a call is not there, but in the queue of errors alone (tcp_v4_err): the process may
 * read it before it closes the socket. It quotes the SYN, so that one of an earlier attempt by
 * this socket is not mistaken for it.
 */
static __always_inline __u32 attempt_error(const struct sock *sk, bool typed)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u32 err = READ(typed, sk, sk_err);
	const void *end = (const void *)sk + bpf_core_field_offset(struct sock, sk_error_queue);
	const struct sk_buff *skb = READ(typed, sk, sk_error_queue.prev);
	const struct sock_exterr_skb *error;
	struct tcp_header syn = {};

	if (err || !skb || skb == end)
		return err;
	error = (const void *)skb + bpf_core_field_offset(struct sk_buff, cb);
	__u8 origin = BPF_CORE_READ(error, ee.ee_origin);

	if (origin != SO_EE_ORIGIN_ICMP && origin != SO_EE_ORIGIN_ICMP6)
		return 0;
	/* 8 bytes of it are always quoted (RFC 792) */
	if (bpf_probe_read_kernel(&syn, __builtin_offsetof(struct tcp_header, ack_seq),
				  BPF_CORE_READ(skb, data)) ||
	    bpf_ntohl(syn.seq) != READ(typed, tp, snd_una))
		return 0;
	return BPF_CORE_READ(error, ee.ee_errno);
}

#endif
