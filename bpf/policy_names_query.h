/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Queries on their way to a resolver. Each is kept for as long as its answer may come: an answer
 * grants nothing unless it is to one of them.
 */
#ifndef EGRETS_POLICY_NAMES_QUERY_H
#define EGRETS_POLICY_NAMES_QUERY_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "dns.h"
#include "egrets.h"
#include "headers.h"
#include "owner.h"
#include "policy_names_hash.h"
#include "policy_names_maps.h"
#include "policy_names_message.h"
#include "policy_names_order.h"
#include "policy_names_set.h"
#include "policy_names_types.h"
#include "share.h"

#define ANSWER_NS 10000000000ULL /* longer than any resolver waits */

/* How an egress program understands a packet: the set of its name's rules, and these. */
#define QUERY_READ (1ULL << 32)	      /* it is a query with one question */
#define QUERY_UNREADABLE (1ULL << 33) /* it goes to a resolver, and is not */

/* Who sends, by the socket's entry where the kernel sends for a process: TCP, io_uring before 5.12.
 */
__noinline __u32 fill_asker(__u64 id, __u64 cookie, __u64 netns_cookie)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	const struct cred *cred = BPF_CORE_READ(task, cred);
	const struct egrets_sock *sock = bpf_map_lookup_elem(&socks, &cookie);
	struct names_scratch *s = scratch(id);
	__u32 used_by;

	if (!s)
		return 0;
	struct policy_asker *asker = &s->query.asker;

	asker->netns_cookie =
		sock && sock->owner.netns_cookie ? sock->owner.netns_cookie : netns_cookie;
	if (sock && is_kernel_thread()) {
		asker->tgid = sock->owner.tgid;
		asker->start_ns = sock->owner.start_ns;
		asker->cgroup_id = sock->owner.cgroup_id;
		asker->is_system = sock->owner.uid <= SYS_UID_MAX;
		used_by = sock->share;
	} else {
		asker->tgid = BPF_CORE_READ(task, tgid);
		asker->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
		asker->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
		asker->is_system = BPF_CORE_READ(cred, uid.val) <= SYS_UID_MAX;
		used_by = share_of(task, false);
	}
	asker->bucket = bucket_of(asker->netns_cookie, used_by);
	return 1;
}

/*
 * Stands for the socket of a client over the loopback device, where both its query and the answer
 * to it are seen as they leave.
 */
__noinline __u64 endpoint_id(__u64 netns_cookie, __u64 high, __u64 low, __u32 port)
{
	struct siphash h;

	siphash_begin(&h);
	siphash_word(&h, netns_cookie);
	siphash_word(&h, high);
	siphash_word(&h, low);
	siphash_word(&h, port);
	return siphash_end(&h);
}

static __always_inline __u64 client_id(__u64 netns_cookie, const struct egrets_endpoint *client)
{
	__u64 addr[2];

	__builtin_memcpy(addr, client->addr, sizeof(addr));
	return endpoint_id(netns_cookie, addr[0], addr[1], client->port);
}

static __always_inline bool is_same_question(const struct policy_query *a,
					     const struct policy_query *b)
{
	const __u64 *x = (const __u64 *)a->question;
	const __u64 *y = (const __u64 *)b->question;

	for (int i = 0; i < POLICY_QUESTION / WORD; i++) {
		if (x[i] != y[i])
			return false;
	}
	return a->class == b->class;
}

/* Keeps the query of the scratch entry. A second name with the same id voids the first. */
__noinline __u32 keep_query(__u64 id, __u64 socket)
{
	struct names_scratch *s = scratch(id);
	struct policy_query_key key = {.socket = socket};

	if (!s)
		return 0;
	key.id = message_u16(s, 0);
	s->query.asked_ns = bpf_ktime_get_boot_ns();
	struct policy_query *before = bpf_map_lookup_elem(&policy_queries, &key);

	if (before) {
		bool waits = s->query.asked_ns - before->asked_ns < ANSWER_NS;

		if (waits && !is_same_question(before, &s->query))
			s->query.is_void = 1;
		if (waits && before->is_void)
			s->query.is_void = 1;
		if (waits)
			s->query.other_ifindex = before->ifindex != s->query.ifindex
							 ? before->ifindex
							 : before->other_ifindex;
		s->query.any_type = waits && (before->any_type || before->type != s->query.type);
	} else {
		s->key = (struct policy_order_value){};
		__builtin_memcpy(&s->key, &key, sizeof(key));
		if (!make_room(&policy_queries, s, ORDER_QUERIES, POLICY_QUERIES))
			goto lost;
	}
	if (!bpf_map_update_elem(&policy_queries, &key, &s->query, BPF_ANY))
		return 1;
lost:
	count_names_lost(POLICY_LOST_QUERY);
	return 0;
}

/*
 * The set of the question that was read, in this generation. A name with a search suffix of
 * resolv.conf behind it is the name before: resolvers try both.
 */
__noinline __u64 question_set(__u64 id, __u32 generation)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	struct policy_name_key key = {.generation = generation};
	__u32 without = 0;

	s->query.name = hash_name(id, 0);
	__u32 count = IN_MEMORY(s->labels_len);
	__u32 set = set_of_suffixes(s->suffixes, count, generation);

	for (__u32 i = 0; i < POLICY_SUFFIXES; i++) {
		if (i + 1 >= count)
			break;
		key.hash = s->suffixes[i];
		if (bpf_map_lookup_elem(&policy_search, &key))
			without = i + 1;
	}
	if (set || !without)
		return set;
	hash_name(id, without);
	return set_of_suffixes(s->suffixes, count - without, generation);
}

/*
 * A message to a resolver, as it leaves: what lookups: block needs to know of it. `socket` is 0
 * if no answer to it can count.
 */
static __always_inline __u64 read_query(struct __sk_buff *skb, __u64 id, __u32 at, __u32 len,
					__u64 socket, __u32 generation)
{
	struct names_scratch *s = scratch(id);

	if (!s || !load_message(skb, id, at, len))
		return QUERY_UNREADABLE;
	if (message_u16(s, 2) & (DNS_RESPONSE | DNS_OPCODE) || !read_question(id))
		return QUERY_UNREADABLE;
	__u64 set = question_set(id, generation);

	if (socket)
		keep_query(id, socket);
	return QUERY_READ | set;
}

#endif
