// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The hooks of egrets, a line or two each: what they do is in the headers, what
 * they send in egrets.h. Everything goes through one ring buffer, so that a DNS
 * answer, seen before its socket has it, always comes before the connection that
 * follows from it.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Macros of the kernel's headers: BTF has only types. */
#define AF_INET 2 /* include/linux/socket.h */
#define AF_INET6 10
#define ETH_P_IP 0x0800 /* include/uapi/linux/if_ether.h */
#define ETH_P_IPV6 0x86dd
#define EINTR 4 /* include/uapi/asm-generic/errno.h */
#define EINVAL 22
#define EAFNOSUPPORT 97
#define EINPROGRESS 115
#define ERESTARTSYS 512 /* include/linux/errno.h */

#include "egrets.h"
#include "ring.h"
#include "calls.h"
#include "process.h"
#include "ktls.h"
#include "headers.h"
#include "flow.h"
#include "socket.h"
#include "other.h"
#include "packet.h"
#include "open.h"
#include "carried.h"
#include "frames.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the records' types are in the object's BTF, for Rust to read. */
#define EXPORT(type) const struct type *unused_##type __attribute__((unused))
EXPORT(egrets_header);
EXPORT(egrets_fork);
EXPORT(egrets_exec);
EXPORT(egrets_exit);
EXPORT(egrets_connect);
EXPORT(egrets_errno);
EXPORT(egrets_state);
EXPORT(egrets_release);
EXPORT(egrets_flow_end);
EXPORT(egrets_association);
EXPORT(egrets_dns);
EXPORT(egrets_cgroup);
EXPORT(egrets_flow_key);
EXPORT(egrets_flow);
EXPORT(egrets_sock);
EXPORT(egrets_open);
EXPORT(egrets_tcp_counters);
const enum egrets_kind *unused_kind __attribute__((unused));
const enum egrets_sock_kind *unused_sock_kind __attribute__((unused));

/* Destinations, in the context of the process that names them. 1: allowed. */

SEC("cgroup/connect4")
int egrets_connect4(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv4_destination(&dst, ctx);
	destination(ctx, &dst);
	return 1;
}

SEC("cgroup/connect6")
int egrets_connect6(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv6_destination(&dst, ctx);
	destination(ctx, &dst);
	return 1;
}

SEC("cgroup/sendmsg4")
int egrets_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv4_destination(&dst, ctx);
	destination(ctx, &dst);
	return 1;
}

SEC("cgroup/sendmsg6")
int egrets_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv6_destination(&dst, ctx);
	destination(ctx, &dst);
	return 1;
}

SEC("cgroup/sock_create")
int egrets_sock_create(struct bpf_sock *ctx)
{
	created(ctx);
	return 1;
}

SEC("cgroup/sock_release")
int egrets_sock_release(struct bpf_sock *ctx)
{
	release(ctx);
	return 1;
}

/* Packets, in anybody's context: the socket's cookie says whose. */

SEC("cgroup_skb/egress")
int egrets_egress(struct __sk_buff *skb)
{
	packet_out(skb);
	return 1;
}

SEC("cgroup_skb/ingress")
int egrets_ingress(struct __sk_buff *skb)
{
	packet_in(skb);
	return 1;
}

/*
 * Frames of packet sockets, in the context of the process that sends. Every packet of the
 * host passes the first, so it asks for the socket's family before anything else.
 */

SEC("tp_btf/net_dev_queue")
int BPF_PROG(egrets_frame, struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (sk && sk->__sk_common.skc_family == AF_PACKET)
		frame_queued(skb, sk);
	return 0;
}

/* Those that bypass the queues, AF_XDP's among them where it copies: the kprobe set. */

SEC("kprobe/__dev_direct_xmit")
int BPF_KPROBE(egrets_direct_frame, struct sk_buff *skb)
{
	struct sock *sk = BPF_CORE_READ(skb, sk);
	__u16 family = sk ? BPF_CORE_READ(sk, __sk_common.skc_family) : 0;

	if (family == AF_PACKET || family == AF_XDP)
		frame_sent(skb, sk);
	return 0;
}

/* The same, as far as what a send returns tells: the portable set. */

SEC("tp_btf/sock_send_length")
int BPF_PROG(egrets_frames_returned, struct sock *sk, int ret, int flags)
{
	if (sk->__sk_common.skc_family == AF_PACKET)
		frames_returned(sk, ret);
	return 0;
}

/* Sockets older than egrets, when userspace reads the iterator. */

SEC("iter/task_file")
int egrets_open_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (task && file)
		write_open(ctx->meta->seq, task, file, ctx->fd);
	return 0;
}

/* The bytes of TCP so far and the sockets that are no more; the flows that they left. */

SEC("iter/bpf_map_elem")
int egrets_tcp_bytes(struct bpf_iter__bpf_map_elem *ctx)
{
	const __u64 *cookie = ctx->key;
	const struct egrets_sock *s = ctx->value;

	if (cookie && s)
		write_carried(ctx->meta->seq, cookie, s);
	return 0;
}

SEC("iter/bpf_map_elem")
int egrets_orphans(struct bpf_iter__bpf_map_elem *ctx)
{
	const struct egrets_flow_key *key = ctx->key;

	if (key)
		write_orphan(ctx->meta->seq, key);
	return 0;
}

/*
 * The kernel skips a tracing program that it is running on the same processor
 * already (recursion_misses): when a packet's arrival interrupts it and, since
 * tracepoints may be preempted (7.0), when another process' turn comes. What must
 * not be lost has copies of its program, which are then free, and tell what the
 * ones before have not: they share what they have told.
 */

/* What became of a TCP attempt. */

#define SET_STATE(program)                                                                         \
	SEC("tp_btf/inet_sock_set_state")                                                          \
	int BPF_PROG(program, const struct sock *sk, const int oldstate, const int newstate)       \
	{                                                                                          \
		state_changed(sk, oldstate, newstate);                                             \
		return 0;                                                                          \
	}
SET_STATE(egrets_set_state)
SET_STATE(egrets_set_state_2)
SET_STATE(egrets_set_state_3)

/* The errno of one that fails at once: the portable set. */

SEC("tracepoint/syscalls/sys_enter_connect")
int egrets_connect_enter(void *ctx)
{
	call_entered();
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_connect")
int egrets_connect_exit(struct trace_event_raw_sys_exit *ctx)
{
	call_returned(ctx->ret);
	return 0;
}

/* The same: the kprobe set. */

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(egrets_v4_dialled, int ret)
{
	call_returned(ret);
	return 0;
}

SEC("kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(egrets_v6_dialled, int ret)
{
	call_returned(ret);
	return 0;
}

SEC("kretprobe/tcp_v4_pre_connect")
int BPF_KRETPROBE(egrets_v4_policy, int ret)
{
	policy_returned(ret);
	return 0;
}

SEC("kretprobe/tcp_v6_pre_connect")
int BPF_KRETPROBE(egrets_v6_policy, int ret)
{
	policy_returned(ret);
	return 0;
}

/* Processes and the cgroups they are in. */

#define FORK(program)                                                                              \
	SEC("tp_btf/sched_process_fork")                                                           \
	int BPF_PROG(program, struct task_struct *parent, struct task_struct *child)               \
	{                                                                                          \
		report_fork(child);                                                                \
		return 0;                                                                          \
	}
FORK(egrets_fork)
FORK(egrets_fork_2)
FORK(egrets_fork_3)

#define EXEC(program, copy)                                                                        \
	SEC("tp_btf/sched_process_exec")                                                           \
	int BPF_PROG(program, struct task_struct *task, int old_pid)                               \
	{                                                                                          \
		report_exec(task, old_pid, copy);                                                  \
		return 0;                                                                          \
	}
EXEC(egrets_exec, 0)
EXEC(egrets_exec_2, 1)
EXEC(egrets_exec_3, 2)

#define EXIT(program, copy)                                                                        \
	SEC("tp_btf/sched_process_exit")                                                           \
	int BPF_PROG(program, struct task_struct *task)                                            \
	{                                                                                          \
		report_exit(task, copy);                                                           \
		return 0;                                                                          \
	}
EXIT(egrets_exit, 0)
EXIT(egrets_exit_2, 1)
EXIT(egrets_exit_3, 2)

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(egrets_cgroup_mkdir, struct cgroup *cgrp, const char *path)
{
	report_cgroup(EGRETS_CGROUP, cgrp, path, NULL);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(egrets_cgroup_attach, struct cgroup *cgrp, const char *path, struct task_struct *task)
{
	report_cgroup(EGRETS_ATTACH, cgrp, path, task);
	return 0;
}
