/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sockets that were open before egrets: an iterator over the files of all processes
 * writes one struct egrets_open for each, for userspace to read when it starts.
 */
#ifndef EGRETS_OPEN_H
#define EGRETS_OPEN_H

#define S_IFMT 00170000 /* include/uapi/linux/stat.h */
#define S_IFSOCK 0140000

/* Before 5.12 the cookie was made when somebody asked for it. */
struct net___before_5_12 {
	atomic64_t net_cookie;
};

static __always_inline __u64 netns_cookie(struct net *net)
{
	struct net___before_5_12 *old = (void *)net;

	if (bpf_core_field_exists(net->net_cookie))
		return BPF_CORE_READ(net, net_cookie);
	if (bpf_core_field_exists(old->net_cookie))
		return BPF_CORE_READ(old, net_cookie.counter);
	return 0;
}

/* What fill_owner reads of the current task, of any. */
static __always_inline void fill_owner_of(struct egrets_owner *owner, struct task_struct *task,
					  struct net *net)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const struct cred *cred = BPF_CORE_READ(task, cred);

	owner->tgid = BPF_CORE_READ(task, tgid);
	owner->tid = BPF_CORE_READ(task, pid);
	owner->uid = BPF_CORE_READ(cred, uid.val);
	owner->start_ns = BPF_CORE_READ(leader, start_boottime);
	owner->exec_id = BPF_CORE_READ(leader, self_exec_id);
	owner->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	owner->login_uid = login_uid(task);
	fill_mount_namespace(owner, task);
	owner->netns = BPF_CORE_READ(net, ns.inum);
	owner->netns_cookie = netns_cookie(net);
	bpf_probe_read_kernel_str(owner->comm, sizeof(owner->comm), leader->comm);
}

static __always_inline void write_open(struct seq_file *seq, struct task_struct *task,
				       struct file *file, __u32 fd)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct egrets_open e = {};

	/* O_PATH opens the inode of a Unix socket: that has no socket behind it */
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK || !socket)
		return;
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!sk)
		return;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family != AF_INET && family != AF_INET6)
		return;
	e.protocol = BPF_CORE_READ(sk, sk_protocol);
	e.sock_type = BPF_CORE_READ(sk, sk_type);
	e.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	fill_owner_of(&e.owner, task, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	e.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	struct egrets_sock *s = bpf_map_lookup_elem(&socks, &e.cookie);

	if (s)
		s->sk = (__u64)sk; /* entered by userspace, which does not know it */
	e.inode = BPF_CORE_READ(inode, i_ino);
	e.fd = fd;
	e.src.port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	e.dst.port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (family == AF_INET) {
		set_ipv4(e.src.addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		set_ipv4(e.dst.addr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&e.src.addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&e.dst.addr, sk, __sk_common.skc_v6_daddr);
	}
	bpf_seq_write(seq, &e, sizeof(e));
}

#endif
