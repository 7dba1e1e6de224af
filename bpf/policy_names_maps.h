/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Tables of the names in the kernel. What lives as long as an address is good has names by
 * their hashes, and no generation: a new policy loses none of it.
 */
#ifndef EGRETS_POLICY_NAMES_MAPS_H
#define EGRETS_POLICY_NAMES_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "policy_names_types.h"

/* Names of the policy. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * 1024 * 1024); /* two generations of half a million, and room */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_name_key);
	__type(value, struct policy_name);
} policy_names SEC(".maps");

/* Search suffixes of resolv.conf. The value has no meaning. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_name_key);
	__type(value, __u8);
} policy_search SEC(".maps");

/*
 * Programs whose answers over the loopback device grant addresses, by the hash of their path as in
 * struct policy_process. The value has no meaning.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} policy_stubs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_QUERIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_query_key);
	__type(value, struct policy_query);
} policy_queries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_GRANTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_grant_key);
	__type(value, struct policy_grant);
} policy_grants SEC(".maps");

/* The names of grants. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_SEEN_NAMES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* the name's hash */
	__type(value, struct policy_seen_name);
} policy_seen_names SEC(".maps");

/* Names that an answer has sent a process to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_ALIASES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_alias_key);
	__type(value, struct policy_alias);
} policy_aliases SEC(".maps");

/* DNS over TCP. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_STREAMS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* socket cookie */
	__type(value, struct policy_stream);
} policy_streams SEC(".maps");

/* The entries of each owner in each table, in the order in which they came: policy_names_order.h.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_QUERIES + POLICY_GRANTS + POLICY_SEEN_NAMES + POLICY_ALIASES +
				    POLICY_STREAMS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_order_key);
	__type(value, struct policy_order_value);
} policy_order SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POLICY_BUCKETS);
	__type(key, __u32);
	__type(value, struct policy_bucket);
} policy_buckets SEC(".maps");

/* Messages that are being read: policy_names_message.h. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct names_scratch);
} names_scratch SEC(".maps");

/* What was not learnt, by enum policy_names_loss. Userspace reads it through mmap. */
__u64 names_lost[POLICY_NAMES_LOSSES];

static __always_inline void count_names_lost(__u32 why)
{
	__sync_fetch_and_add(&names_lost[why], 1);
}

#endif
