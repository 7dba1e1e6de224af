/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * MPTCP: the process has a socket of that protocol, and the kernel a TCP socket for each path,
 * its subflows. They pass TCP's hooks, so each path is a connection. The process' connect opens
 * the first one, a kernel thread the others: their owner is the first one's, which is recorded
 * under the cookie of the process' socket. A path that is added to a connection which was accepted
 * belongs to the first process that is seen to use it: claim.h.
 */
#ifndef EGRETS_MPTCP_H
#define EGRETS_MPTCP_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "maps.h"
#include "owner.h"

#define MPTCP_PATHS 9		      /* MPTCP_PM_ADDR_MAX (net/mptcp/protocol.h) and the first */
#define MPTCP_ULP 0x0000706374706dULL /* "mptcp", the name of its struct tcp_ulp_ops */

/* Whether a TCP socket is a subflow. */
static __always_inline bool is_mptcp(const struct sock *sk, bool typed)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	const struct tcp_ulp_ops *ops = READ(typed, icsk, icsk_ulp_ops);
	__u64 name = 0;

	return ops && !bpf_core_read(&name, sizeof(name), &ops->name) &&
	       (name & 0xffffffffffff) == MPTCP_ULP;
}

/* Whether a typed socket of TCP has a protocol above it, as a subflow has. */
static __always_inline bool has_ulp(const struct sock *tcp)
{
	return ((const struct inet_connection_sock *)tcp)->icsk_ulp_ops;
}

/* The process' socket; NULL if this is no subflow. */
static __always_inline const struct sock *mptcp_parent(const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const void *)sk;

	if (!bpf_core_type_exists(struct mptcp_subflow_context) || !is_mptcp(sk, false))
		return NULL;
	const struct mptcp_subflow_context *subflow = BPF_CORE_READ(icsk, icsk_ulp_data);

	return BPF_CORE_READ(subflow, conn);
}

/* The list of a process' socket's subflows. */
static __always_inline const struct list_head *mptcp_paths(const struct sock *sk)
{
	return (const void *)sk + bpf_core_field_offset(struct mptcp_sock, conn_list);
}

/* The TCP socket of an entry of that list. */
static __always_inline const struct sock *mptcp_path(const struct list_head *node)
{
	const struct mptcp_subflow_context *subflow =
		(const void *)node - bpf_core_field_offset(struct mptcp_subflow_context, node);

	return BPF_CORE_READ(subflow, tcp_sock);
}

/*
 * Of bytes that a path has sent: no more than the whole connection has, which sends some again
 * over the same path. Until 6.5 it does not count.
 */
static __always_inline __u64 mptcp_limit(const struct sock *sk, __u64 bytes)
{
	const struct mptcp_sock *msk = (const struct mptcp_sock *)mptcp_parent(sk);
	const struct inet_connection_sock *icsk = (const void *)sk;

	if (!msk || !bpf_core_field_exists(msk->bytes_sent))
		return bytes;
	const struct mptcp_subflow_context *subflow = BPF_CORE_READ(icsk, icsk_ulp_data);

	/* data of TCP Fast Open, on the first path, is not in the connection's count */
	if (!BPF_CORE_READ_BITFIELD_PROBED(subflow, request_join))
		return bytes;
	__u64 all = BPF_CORE_READ(msk, bytes_sent);

	return bytes < all ? bytes : all;
}

/* A TCP socket connects: corrects the owner of one that a kernel thread opens. */
static __always_inline void mptcp_owner(struct egrets_owner *owner, const struct sock *sk)
{
	const struct sock *parent = mptcp_parent(sk);

	if (!parent)
		return;
	__u64 cookie = BPF_CORE_READ(parent, __sk_common.skc_cookie.counter);

	struct egrets_sock *s = cookie ? bpf_map_lookup_elem(&socks, &cookie) : NULL;

	if (s && is_kernel_thread())
		*owner = s->owner;
	else if (s)
		s->owner = *owner;
	else if (is_kernel_thread()) /* accepted, or older than egrets and no file of a process */
		fill_unknown_owner(owner, parent);
	else if (cookie)
		sock_get_or_create(cookie, parent, owner, task_is_typed);
}

#endif
