// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The policy's hooks. An object of its own, which shares the recorder's maps: a kernel that
 * refuses it can record without a policy.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "destination.h"
#include "egrets.h"
#include "policy.h"
#include "policy_egress.h"
#include "policy_exe.h"
#include "policy_lineage.h"
#include "policy_names.h"
#include "policy_names_lookups.h"
#include "policy_sni.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EXPORT(kind, type) const kind type *unused_##type __attribute__((unused))
EXPORT(struct, policy_mask);
EXPORT(struct, policy_settings);
EXPORT(struct, policy_user_key);
EXPORT(struct, policy_exe_key);
EXPORT(struct, policy_class_key);
EXPORT(struct, policy_ports);
EXPORT(struct, policy_cidr_key);
EXPORT(struct, policy_cgroup);
EXPORT(struct, policy_process);
EXPORT(struct, policy_flow);
EXPORT(struct, policy_lineage);
EXPORT(struct, policy_condition);
EXPORT(struct, policy_comm);
EXPORT(struct, policy_pattern_key);
EXPORT(enum, policy_condition_flag);
EXPORT(enum, egrets_action);
EXPORT(struct, policy_name_key);
EXPORT(struct, policy_name);
EXPORT(struct, policy_grant_key);
EXPORT(struct, policy_grant);
EXPORT(struct, policy_seen_name);
EXPORT(struct, policy_query);
EXPORT(struct, policy_alias);
EXPORT(struct, policy_stream);
EXPORT(struct, policy_order_key);
EXPORT(enum, policy_order_table);
EXPORT(enum, policy_names_size);
EXPORT(enum, policy_names_loss);
EXPORT(enum, policy_size);
EXPORT(enum, policy_kind);
EXPORT(enum, policy_cgroup_flag);
EXPORT(enum, policy_flag);
EXPORT(enum, policy_port_table);
EXPORT(enum, policy_essential);
EXPORT(enum, policy_exe_kind);

/* Attempts, in the context of the process that connects. 1: allow; 0: EPERM. */

SEC("cgroup/connect4")
int policy_connect4(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv4_destination(&dst, ctx, 0);
	return policy_connect(ctx, &dst);
}

SEC("cgroup/connect6")
int policy_connect6(struct bpf_sock_addr *ctx)
{
	struct egrets_endpoint dst = {};

	ipv6_destination(&dst, ctx);
	return policy_connect(ctx, &dst);
}

/* Packets of all other protocols, and what TCP can hide in its headers. */

SEC("cgroup_skb/egress")
int policy_egress(struct __sk_buff *skb)
{
	return policy_packet(skb);
}

/* Names: queries as they leave (0: EPERM), answers before their process has them. */

SEC("cgroup_skb/egress")
int policy_asked(struct __sk_buff *skb)
{
	return policy_lookup(skb);
}

SEC("cgroup_skb/ingress")
int policy_answered(struct __sk_buff *skb)
{
	const struct policy_settings *s = active_settings();

	if (s)
		names_ingress(skb, s->generation);
	return 1;
}

/* What connections say. Loaded only for a policy that wants it. */

SEC("cgroup_skb/egress")
int policy_said(struct __sk_buff *skb)
{
	return policy_first_payload(skb);
}

/* Programs of processes. A tracing program has copies for the reason that egrets.bpf.c says. */

#define POLICY_FORK(program)                                                                       \
	SEC("tp_btf/sched_process_fork")                                                           \
	int BPF_PROG(program, struct task_struct *parent, struct task_struct *child)               \
	{                                                                                          \
		policy_fork(child);                                                                \
		return 0;                                                                          \
	}
POLICY_FORK(policy_forked)
POLICY_FORK(policy_forked_2)

#define POLICY_EXEC(program, copy)                                                                 \
	SEC("tp_btf/sched_process_exec")                                                           \
	int BPF_PROG(program, struct task_struct *task)                                            \
	{                                                                                          \
		policy_exec(task, copy);                                                           \
		return 0;                                                                          \
	}
POLICY_EXEC(policy_execed, 0)
POLICY_EXEC(policy_execed_2, 1)

SEC("tp_btf/sched_process_exit")
int BPF_PROG(policy_exited, struct task_struct *task)
{
	policy_exit(task);
	return 0;
}

#define KTHREADD 2 /* the pid of the kernel's first thread, in the initial namespaces */

/* Processes that run already, by the first of their threads that has not ended. */

SEC("iter/task")
int policy_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && BPF_CORE_READ(task, pid) == KTHREADD) {
		struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);

		initial_netns = BPF_CORE_READ(net, ns.inum);
		initial_netns_cookie = netns_cookie(net);
	}
	if (task && BPF_CORE_READ(task, mm))
		policy_exec(task, POLICY_ITERATOR);
	return 0;
}

/*
 * Once there are new patterns: programs of running processes, and what these were started by. A
 * process is looked at by its first thread, or by the others if that has ended.
 */

SEC("iter/task")
int policy_ancestors(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || !BPF_CORE_READ(task, mm))
		return 0;
	if (BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid) &&
	    BPF_CORE_READ(task, group_leader, mm))
		return 0;
	policy_match_ancestors(task);
	return 0;
}
