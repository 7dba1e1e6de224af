// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The hooks: a line or two each. The work is in the headers, the records are in egrets.h.
 * Everything goes through one ring buffer, so that a DNS answer, seen before its socket has
 * it, always precedes the connection that follows from it.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "cgroup.h"
#include "connect_errno.h"
#include "denied.h"
#include "egrets.h"
#include "iterators.h"
#include "packet_sock.h"
#include "payload.h"
#include "process.h"
#include "raw.h"
#include "scan.h"
#include "sock.h"
#include "tcp.h"
#include "uapi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Puts a type into the object's BTF, for Rust to read. */
#define EXPORT(kind, type) const kind type *unused_##type __attribute__((unused))
EXPORT(struct, egrets_header);
EXPORT(struct, egrets_fork);
EXPORT(struct, egrets_exec);
EXPORT(struct, egrets_exit);
EXPORT(struct, egrets_connect);
EXPORT(struct, egrets_errno);
EXPORT(struct, egrets_state);
EXPORT(struct, egrets_release);
EXPORT(struct, egrets_flow_end);
EXPORT(struct, egrets_association);
EXPORT(struct, egrets_dns);
EXPORT(struct, egrets_payload);
EXPORT(struct, egrets_claim);
EXPORT(struct, egrets_cgroup);
EXPORT(struct, egrets_flow_key);
EXPORT(struct, egrets_flow);
EXPORT(struct, egrets_sock);
EXPORT(struct, egrets_open_sock);
EXPORT(struct, egrets_scan);
EXPORT(struct, egrets_hop);
EXPORT(struct, egrets_verdict);
EXPORT(struct, egrets_share);
EXPORT(struct, egrets_shared);
EXPORT(struct, inbound);
EXPORT(enum, egrets_route);
EXPORT(enum, egrets_scan_result);
EXPORT(enum, egrets_exe_flag);
EXPORT(enum, egrets_exe_view);
EXPORT(enum, egrets_kind);
EXPORT(enum, egrets_payload_kind);
EXPORT(enum, egrets_sock_kind);
EXPORT(enum, egrets_flow_state);
EXPORT(enum, egrets_size);
EXPORT(enum, egrets_login);
EXPORT(enum, egrets_protocol);
EXPORT(enum, egrets_rule);
EXPORT(enum, egrets_action);
EXPORT(enum, egrets_packet_sock_id);
EXPORT(enum, bpf_tcp_state);

/* Destinations, in the context of the process that names them. 1: allow. */

SEC("cgroup/connect4")
int egrets_connect4(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv4_destination(&dst, ctx, 0);
	on_sock_addr(ctx, &dst);
	return 1;
}

SEC("cgroup/connect6")
int egrets_connect6(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv6_destination(&dst, ctx);
	on_sock_addr(ctx, &dst);
	return 1;
}

SEC("cgroup/sendmsg4")
int egrets_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv4_destination(&dst, ctx, ctx->msg_src_ip4);
	on_sock_addr(ctx, &dst);
	return 1;
}

SEC("cgroup/sendmsg6")
int egrets_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv6_destination(&dst, ctx);
	on_sock_addr(ctx, &dst);
	return 1;
}

SEC("cgroup/sock_create")
int egrets_sock_create(struct bpf_sock *ctx)
{
	on_sock_create(ctx);
	return 1;
}

SEC("cgroup/sock_release")
int egrets_sock_release(struct bpf_sock *ctx)
{
	on_sock_release(ctx);
	return 1;
}

/* Outcomes of TCP attempts, ends of connections. 1: nothing is to be changed. */

SEC("sockops")
int egrets_sock_ops(struct bpf_sock_ops *ctx)
{
	on_sock_ops(ctx);
	return 1;
}

/* The same of sockets that are older than egrets: attached while there are any. */

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(egrets_set_state, const struct sock *sk, const int oldstate, const int newstate)
{
	older_state_changed(sk, oldstate, newstate);
	return 0;
}

/* Packets, in any process' context: the socket's cookie identifies the owner. */

SEC("cgroup_skb/egress")
int egrets_egress(struct __sk_buff *skb)
{
	on_egress(skb);
	return 1;
}

SEC("cgroup_skb/ingress")
int egrets_ingress(struct __sk_buff *skb)
{
	on_ingress(skb);
	return 1;
}

/* What clients send first: the names that connections say themselves. */

SEC("cgroup_skb/egress")
int egrets_payload(struct __sk_buff *skb)
{
	on_payload(skb);
	return 1;
}

/* Packets that the host's own firewall refuses. Every freed packet of the host comes here. */

SEC("tp_btf/kfree_skb")
int BPF_PROG(egrets_free_skb, struct sk_buff *skb)
{
	if (is_denied(skb, (const __u64 *)ctx))
		on_denied(skb);
	return 0;
}

/*
 * Frames of packet sockets, in the context of the process that sends. Every packet of the
 * host passes the first hook, so it checks the socket's family before anything else.
 */

SEC("tp_btf/net_dev_queue")
int BPF_PROG(egrets_dev_queue, struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (sk && sk->__sk_common.skc_family == AF_PACKET)
		on_packet_queue(skb, sk);
	return 0;
}

/* Frames that bypass the queues, AF_XDP's in copy mode included: the kprobe set. */

SEC("kprobe/__dev_direct_xmit")
int BPF_KPROBE(egrets_direct_xmit, struct sk_buff *skb)
{
	struct sock *sk = BPF_CORE_READ(skb, sk);
	__u16 family = sk ? BPF_CORE_READ(sk, __sk_common.skc_family) : 0;

	if (family == AF_PACKET || family == AF_XDP)
		on_packet_xmit(skb, sk);
	return 0;
}

/* The same, from the number of bytes that a send returns: the tracepoint set. */

SEC("tp_btf/sock_send_length")
int BPF_PROG(egrets_send_length, struct sock *sk, int ret, int flags)
{
	if (sk->__sk_common.skc_family == AF_PACKET)
		on_packet_send_return(sk, ret);
	return 0;
}

/* Sockets older than egrets. */

SEC("iter/task_file")
int egrets_open_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (task && file)
		write_open_socks(ctx->meta->seq, task, file, ctx->fd);
	return 0;
}

/* TCP bytes so far and stale sockets: attached nowhere, run by userspace. */

SEC("cgroup_skb/egress")
int egrets_scan_socks(struct __sk_buff *skb)
{
	scan_socks();
	return 1;
}

/*
 * The kernel skips a tracing program that it is running on the same processor
 * already (recursion_misses): when an incoming packet interrupts it and, since
 * tracepoints can be preempted (7.0), when another process is scheduled. Hooks whose
 * events must not be lost have copies of their program, which then run, and report what
 * the ones before have not: they share what was reported (processes).
 */

/* The errno of an attempt that fails at once: the tracepoint set. */

SEC("tracepoint/syscalls/sys_enter_connect")
int egrets_connect_enter(void *ctx)
{
	connect_entered();
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_connect")
int egrets_connect_exit(struct trace_event_raw_sys_exit *ctx)
{
	connect_returned(ctx->ret);
	return 0;
}

/* The same: the kprobe set. */

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(egrets_tcp_v4_connect_ret, int ret)
{
	connect_returned(ret);
	return 0;
}

SEC("kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(egrets_tcp_v6_connect_ret, int ret)
{
	connect_returned(ret);
	return 0;
}

SEC("kretprobe/tcp_v4_pre_connect")
int BPF_KRETPROBE(egrets_tcp_v4_pre_connect_ret, int ret)
{
	pre_connect_returned(ret);
	return 0;
}

SEC("kretprobe/tcp_v6_pre_connect")
int BPF_KRETPROBE(egrets_tcp_v6_pre_connect_ret, int ret)
{
	pre_connect_returned(ret);
	return 0;
}

/* Processes and their cgroups. */

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
