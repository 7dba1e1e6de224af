/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * connect(2) from entry to return: the errno of an attempt that fails at once,
 * which makes no state change. The cookie is filled in between by the cgroup
 * hook, which a dial by sendmsg (TCP Fast Open) or by io_uring passes too: they
 * find no entry here and leave none.
 */
#ifndef EGRETS_CALLS_H
#define EGRETS_CALLS_H

/* Preallocated: tracepoint and kprobe programs may use no other (5.10). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384); /* threads inside connect at once */
	__type(key, __u64);	    /* pid_tgid */
	__type(value, __u64);	    /* socket cookie, 0 before the hook */
} connecting SEC(".maps");

static __always_inline void connect_entered(void)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 none = 0;

	if (bpf_map_update_elem(&connecting, &thread, &none, BPF_ANY))
		count_lost(EGRETS_ERRNO);
}

static __always_inline void connect_returned(long ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 *entry = bpf_map_lookup_elem(&connecting, &thread);
	__u64 cookie = entry ? *entry : 0;

	bpf_map_delete_elem(&connecting, &thread);
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

#endif
