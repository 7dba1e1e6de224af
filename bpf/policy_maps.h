/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The policy's maps. Those of maps.h are the recorder's own, which it shares. */
#ifndef EGRETS_POLICY_MAPS_H
#define EGRETS_POLICY_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "policy.h"

/* The generation of rules that decides; 0: none yet. Read it by generation_now. */
__u32 active_generation;

/*
 * From this time on (ns since boot; 0: never) another generation decides. Userspace sets it for
 * rules that are on trial: those before return if it is hindered by the new ones, or ends.
 */
__u64 fallback_after_ns;
__u32 fallback_generation;

/* Secret, so that no path or name can be found that hashes like another. Set at load. */
const volatile __u64 policy_key;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POLICY_GENERATIONS);
	__type(key, __u32); /* generation % POLICY_GENERATIONS */
	__type(value, struct policy_settings);
} policy_settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POLICY_GENERATIONS *POLICY_SETS);
	__type(key, __u32); /* generation % POLICY_GENERATIONS * POLICY_SETS + set */
	__type(value, struct policy_mask);
} policy_sets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_user_key);
	__type(value, __u32);
} policy_users SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_exe_key);
	__type(value, __u32);
} policy_exes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_class_key);
	__type(value, __u32);
} policy_classes SEC(".maps");

#define PORT_BLOCKS (65536 / POLICY_PORT_BLOCK)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POLICY_GENERATIONS *POLICY_PORT_TABLES *PORT_BLOCKS);
	__type(key, __u32); /* by generation, protocol and first port */
	__type(value, struct policy_ports);
} policy_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1048576);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_cidr_key);
	__type(value, __u32);
} policy_cidrs SEC(".maps");

/* Addresses of the resolvers whose answers count, as in struct policy_cidr_key. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_cidr_key);
	__type(value, __u32);
} policy_resolvers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* cgroup2 id */
	__type(value, struct policy_cgroup);
} policy_cgroups SEC(".maps");

/* Written where a program is started; an entry whose exec_id is not the process' counts not. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* tgid */
	__type(value, struct policy_process);
} policy_processes SEC(".maps");

/* Bits of the patterns that rules have of ancestors' paths. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct policy_pattern_key);
	__type(value, __u64);
} policy_patterns SEC(".maps");

/* How many there are. */
__u32 pattern_count;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POLICY_GENERATIONS);
	__type(key, __u32); /* generation % POLICY_GENERATIONS */
	__type(value, struct policy_lineage);
} policy_lineages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POLICY_GENERATIONS *POLICY_COMM_CHARS);
	__type(key, __u32); /* generation % POLICY_GENERATIONS * POLICY_COMM_CHARS + character */
	__type(value, struct policy_comm);
} policy_comms SEC(".maps");

/*
 * An LRU: what a flood evicts is decided anew, and is reported again. Nothing depends on an
 * entry being there.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct egrets_flow_key);
	__type(value, struct policy_flow);
} policy_flows SEC(".maps");

/* How often each rule of a generation has decided on an attempt or a flow: see count_hit. */
__u64 policy_hits[POLICY_GENERATIONS * POLICY_HITS];

/*
 * The initial network namespace, in which userspace grants names: inode number and cookie, 0 as
 * long as they are not known.
 */
__u64 initial_netns_cookie;
__u32 initial_netns;

static __always_inline __u32 generation_now(void)
{
	__u64 after_ns = *(volatile __u64 *)&fallback_after_ns;

	if (after_ns && bpf_ktime_get_boot_ns() >= after_ns)
		return *(volatile __u32 *)&fallback_generation;
	return *(volatile __u32 *)&active_generation;
}

static __always_inline const struct policy_settings *settings_of(__u32 generation)
{
	__u32 index = generation % POLICY_GENERATIONS;

	return bpf_map_lookup_elem(&policy_settings, &index);
}

static __always_inline const struct policy_mask *mask_of(__u32 generation, __u32 set)
{
	__u32 index = generation % POLICY_GENERATIONS * POLICY_SETS + set % POLICY_SETS;

	return bpf_map_lookup_elem(&policy_sets, &index);
}

#endif
