/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The errno of an attempt that fails at once and so makes no change of state: what
 * the call that dials returns. The cgroup hook notes which socket its thread dials,
 * and the return finds the note. Each hook set has its own returns:
 *
 *   kprobe    of tcp_v4_connect and tcp_v6_connect, which every dial passes, and of
 *             tcp_v4_pre_connect and tcp_v6_pre_connect, where the cgroups' policies
 *             refuse it before (__inet_stream_connect, net/ipv4/af_inet.c).
 *   portable  of connect(2). A dial by sendmsg (TCP Fast Open) or by io_uring passes
 *             none, and leaves its note behind: the next connect(2) takes it away.
 */
#ifndef EGRETS_CALLS_H
#define EGRETS_CALLS_H

struct call {
	__u64 cookie;  /* the socket's; 0 before the cgroup hook */
	__u64 awaited; /* whether the next return is this call's for sure */
};

/* Preallocated: tracepoint and kprobe programs may use no other (5.10). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384); /* threads inside such a call at once */
	__type(key, __u64);	    /* pid_tgid */
	__type(value, struct call);
} calls SEC(".maps");

/* 1 where every dial has a return that is followed. Set before the hooks attach. */
__u32 every_dial_returns;

static __always_inline void enter_call(__u64 thread, __u64 cookie, __u64 awaited)
{
	struct call call = {.cookie = cookie, .awaited = awaited};

	if (bpf_map_update_elem(&calls, &thread, &call, BPF_ANY) && cookie)
		count_lost(EGRETS_RETURN);
}

/*
 * A thread that dials again, or ends, is inside no call: the return of the one it
 * is noted with was not seen. So each return that a kretprobe misses, because it
 * follows a limited number of threads at once (maxactive), is counted, if later.
 */
static __always_inline void drop_call(__u64 thread)
{
	struct call *call = bpf_map_lookup_elem(&calls, &thread);

	if (!call)
		return;
	if (call->cookie && call->awaited)
		count_lost(EGRETS_RETURN);
	bpf_map_delete_elem(&calls, &thread);
}

/* connect(2) begins. */
static __always_inline void call_entered(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	drop_call(thread);
	enter_call(thread, 0, 1);
}

/* The cgroup hook: this thread dials with this socket. */
static __always_inline void call_dials(__u64 cookie)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);

	if (call && !call->cookie) {
		call->cookie = cookie;
		return;
	}
	drop_call(thread);
	enter_call(thread, cookie, every_dial_returns);
}

static __always_inline void call_returned(long ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);

	if (!call)
		return; /* tcp_v6_connect, after tcp_v4_connect inside of it has told */
	__u64 cookie = call->cookie;
	__u64 awaited = call->awaited;

	bpf_map_delete_elem(&calls, &thread);
	if (!awaited) {
		/* a note left behind, and connect(2)'s entry was skipped: whose is it? */
		count_lost(EGRETS_RETURN);
		return;
	}
	/*
	 * A blocking connect that a signal breaks off goes on by itself, as a
	 * non-blocking one does; ERESTARTSYS (include/linux/errno.h) is what the
	 * kernel turns into EINTR after this point.
	 */
	if (!cookie || ret >= 0 || ret == -EINPROGRESS || ret == -EINTR || ret == -ERESTARTSYS)
		return;
	struct egrets_errno *e = RESERVE(struct egrets_errno, EGRETS_ERRNO);

	if (!e)
		return;
	e->cookie = cookie;
	e->err = -ret;
	submit(e);
}

/*
 * The policies have been asked: if they allow it, the dial itself comes next. These
 * two errors come before they are asked, and so before there is a note.
 */
static __always_inline void policy_returned(int ret)
{
	if (ret && ret != -EINVAL && ret != -EAFNOSUPPORT)
		call_returned(ret);
}

#endif
