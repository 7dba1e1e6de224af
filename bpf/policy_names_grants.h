/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Addresses that resolvers gave for names. */
#ifndef EGRETS_POLICY_NAMES_GRANTS_H
#define EGRETS_POLICY_NAMES_GRANTS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "policy_names_maps.h"
#include "policy_names_message.h"
#include "policy_names_order.h"
#include "policy_names_set.h"
#include "policy_names_types.h"

#define SECOND_NS 1000000000ULL
#define TTL_MAX (7 * 24 * 3600) /* as unbound and BIND cap it */

static __always_inline __u64 expiry(__u32 ttl)
{
	ttl = ttl < 1 ? 1 : ttl > TTL_MAX ? TTL_MAX : ttl;
	return bpf_ktime_get_boot_ns() + ttl * SECOND_NS;
}

/* Keeps the suffixes of a name whose hash was the last to be made. */
__noinline __u32 keep_name(__u64 id, __u64 name)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	if (bpf_map_lookup_elem(&policy_seen_names, &name))
		return 1;
	__u32 count = IN_MEMORY(s->labels_len);

	s->seen.is_whole = count <= POLICY_SUFFIXES;
	s->seen.suffix_count = s->seen.is_whole ? count : POLICY_SUFFIXES;
	__builtin_memcpy(s->seen.suffixes, s->suffixes, sizeof(s->seen.suffixes));
	s->key = (struct policy_order_value){.key = {name}};
	if (make_room(&policy_seen_names, s, ORDER_SEEN_NAMES, POLICY_SEEN_NAMES) &&
	    !bpf_map_update_elem(&policy_seen_names, &name, &s->seen, BPF_ANY))
		return 1;
	count_names_lost(POLICY_LOST_GRANT);
	return 0;
}

/*
 * How much a name's place among those of an address is worth: none that has expired; then one that
 * no rule has; then one whose rules the new name has, too. An owner of names can't drive others'
 * from an address unless rules have his.
 */
static __always_inline __u64 worth(const struct policy_granted *at, __u64 now, __u32 set,
				   __u32 generation)
{
	__u64 expires_ns = at->expires_ns;

	if (expires_ns <= now)
		return 0;
	__u32 its = name_set(at->name, generation);

	/* times need 62 bits for 146 years */
	return expires_ns | (__u64) !!its << 62 | (__u64)(its && its != set) << 63;
}

/* The place for a name among those of an address: its own, else the one that is worth least. */
static __always_inline struct policy_granted *
place_for(struct names_scratch *s, struct policy_grant *grant, __u64 name, __u32 tgid)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 set = name_set(name, s->generation);

	IN_MEMORY(s->least) = ~0ULL;
	for (__u32 i = 0; i < POLICY_GRANT_NAMES; i++) {
		const struct policy_granted *at = &grant->names[i];
		__u64 its = worth(at, now, set, s->generation);

		if (at->name == name && (!tgid || at->tgid == tgid))
			its = 0;
		else if (!its)
			its = 1; /* its own place comes before a free one */
		if (its < IN_MEMORY(s->least)) {
			IN_MEMORY(s->least) = its;
			IN_MEMORY(s->place) = i;
		}
	}
	return &grant->names[IN_MEMORY(s->place) % POLICY_GRANT_NAMES];
}

/* Zero, and never written: it takes too much of the stack. */
struct policy_grant new_grant;

/*
 * Grants an address to a name. With cgroup_id: as what a process of this cgroup has asked itself,
 * and each process in a place of its own.
 */
__noinline __u32 grant_name(__u64 id, __u64 name, __u64 expires_ns, __u64 cgroup_id)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	s->grant.netns_cookie = s->query.asker.netns_cookie;
	s->grant.cgroup_id = cgroup_id;
	struct policy_grant *grant = bpf_map_lookup_elem(&policy_grants, &s->grant);

	if (!grant) {
		__builtin_memcpy(&s->key, &s->grant, sizeof(s->key));
		if (!make_room(&policy_grants, s, ORDER_GRANTS, POLICY_GRANTS))
			goto lost;
		bpf_map_update_elem(&policy_grants, &s->grant, &new_grant, BPF_NOEXIST);
		grant = bpf_map_lookup_elem(&policy_grants, &s->grant);
	}
	if (!grant)
		goto lost;
	__u32 tgid = s->query.asker.tgid;
	struct policy_granted *at = place_for(s, grant, name, cgroup_id ? tgid : 0);

	/* who reads it meanwhile finds no name there */
	if (at->name != name)
		at->expires_ns = 0;
	barrier();
	at->start_ns = s->query.asker.start_ns;
	at->tgid = tgid;
	at->name = name;
	barrier();
	at->expires_ns = expires_ns;
	return 1;
lost:
	count_names_lost(POLICY_LOST_GRANT);
	return 0;
}

/* Grants the address of the scratch entry to a name for the process that asked. */
static __always_inline void grant(struct names_scratch *s, __u64 id, __u64 name, __u32 ttl)
{
	__u64 expires_ns = expiry(ttl);

	grant_name(id, name, expires_ns, 0);
	if (s->query.asker.cgroup_id && name_set(name, s->generation))
		grant_name(id, name, expires_ns, s->query.asker.cgroup_id);
}

#endif
