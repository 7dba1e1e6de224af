/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The rules that the names of a destination match. */
#ifndef EGRETS_POLICY_NAMES_MASK_H
#define EGRETS_POLICY_NAMES_MASK_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "policy.h"
#include "policy_actor.h"
#include "policy_maps.h"
#include "policy_names_maps.h"
#include "policy_names_set.h"
#include "policy_names_types.h"
#include "policy_scope.h"

/* Cloud metadata services at addresses that look public; the others are link-local or private. */
static __always_inline bool is_public_metadata(const __u8 *addr)
{
	__u32 words[4];

	__builtin_memcpy(words, addr, sizeof(words));
	if (words[0] || words[1] || words[2] != bpf_htonl(0xffff))
		return false;
	return words[3] == bpf_htonl(IPV4(168, 63, 129, 16)) ||
	       words[3] == bpf_htonl(IPV4(192, 0, 0, 192));
}

/* The owner of a name may point it at one of these: only rules that say so allow it. */
static __always_inline bool may_rebind(const __u8 *addr)
{
	__u32 scope = scope_of(addr);

	return scope == SCOPE_LOOPBACK || scope == SCOPE_LINK || scope == SCOPE_PRIVATE ||
	       is_public_metadata(addr);
}

/* An address is good as long as the process lives that asked: it may keep it for connections. */
static __always_inline bool is_alive_process(__u32 tgid, __u64 start_ns)
{
	const struct policy_process *process = bpf_map_lookup_elem(&policy_processes, &tgid);

	return process && process->start_ns == start_ns;
}

/*
 * What is asked of a destination's names, and the answer: an entry of the current task, since
 * global functions take only numbers, and programs have little stack.
 */
struct policy_naming {
	__u64 id;
	struct policy_grant_key key; /* its cgroup is that of the names being read */
	__u64 cgroup_id;
	__u64 start_ns;
	__u32 tgid;
	__u32 generation;
	__u64 now_ns;		  /* a name that expired before needs its process */
	__u64 any_address;	  /* 0: it is one that few rules let a name lead to; else ~0 */
	__u64 named;		  /* whether it has any names */
	struct policy_mask rules; /* that the names match */
	struct policy_mask own; /* of these, by no name or one that the process has asked itself */
};

/* Zero, and never written. */
struct policy_naming new_naming;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct policy_naming);
} policy_naming SEC(".maps");

/* As scratch_open. */
static __always_inline __u64 naming_open(void)
{
	__u64 id = (__u64)bpf_get_current_task();

	if (!bpf_map_update_elem(&policy_naming, &id, &new_naming, BPF_NOEXIST))
		return id;
	id |= 2;
	if (!bpf_map_update_elem(&policy_naming, &id, &new_naming, BPF_NOEXIST))
		return id;
	count_names_lost(POLICY_LOST_SCRATCH);
	return 0;
}

/* Adds the rules of a name: those that its evidence and the address allow. */
__noinline __u32 add_name(__u64 id, __u32 set, __u32 own)
{
	struct policy_naming *n = bpf_map_lookup_elem(&policy_naming, &id);
	const struct policy_settings *s = n ? settings_of(n->generation) : NULL;

	if (!s)
		return 0;
	const struct policy_mask *mask = mask_of(n->generation, set);
	const struct policy_mask *shared_named = mask_of(n->generation, s->shared_named);
	const struct policy_mask *private_named = mask_of(n->generation, s->private_named);
	__u64 any_evidence = n->key.cgroup_id ? ~0ULL : 0;

	n->named = 1;
	if (!mask || !shared_named || !private_named)
		return 0; /* never: for the verifier */
	for (int i = 0; i < POLICY_WORDS; i++) {
		__u64 bits = mask->bits[i] & (shared_named->bits[i] | any_evidence) &
			     (private_named->bits[i] | n->any_address);

		n->rules.bits[i] |= bits;
		if (own)
			n->own.bits[i] |= bits;
	}
	return 1;
}

/* Adds those of the names that a process of this cgroup has asked, or with 0 of all. */
__noinline __u32 add_names(__u64 id, __u64 cgroup_id)
{
	struct policy_naming *n = bpf_map_lookup_elem(&policy_naming, &id);

	if (!n)
		return 0;
	n->key.cgroup_id = cgroup_id;
	const struct policy_grant *grant = bpf_map_lookup_elem(&policy_grants, &n->key);

	if (!grant)
		return 0;
	for (__u32 place = 0; place < POLICY_GRANT_NAMES; place++) {
		const struct policy_granted *name = &grant->names[place];

		if (name->expires_ns < n->now_ns &&
		    (!name->expires_ns || !is_alive_process(name->tgid, name->start_ns)))
			continue;
		/* little is kept on the stack, of which the callers have most: so the id is not */
		add_name(n->id, name_set(name->name, n->generation),
			 n->key.cgroup_id && name->tgid == n->tgid &&
				 name->start_ns == n->start_ns);
	}
	return n->named;
}

/* The names that its cgroup has asked are among those that any process has. */
static __always_inline void find_names(struct policy_naming *n, __u64 id)
{
	if (add_names(id, 0)) {
		if (n->cgroup_id)
			add_names(id, n->cgroup_id);
		return;
	}
	const struct policy_settings *s = settings_of(n->generation);
	const struct policy_mask *unnamed = s ? mask_of(n->generation, s->unnamed) : NULL;
	__u32 scope = scope_of(n->key.addr);

	if (unnamed && (scope == SCOPE_PUBLIC || scope == SCOPE_PRIVATE)) {
		n->rules = *unnamed;
		n->own = *unnamed;
	}
}

enum policy_said {
	NOT_SAID_YET, /* the names that the address was looked up by count */
	NOTHING_SAID,
	NAME_IS_SAID = 0x10000, /* plus the set of that name */
};

/*
 * Unless it is NOT_SAID_YET, `said` replaces the names that the address was looked up by: it is the
 * set of the one that the connection says, or none. The rules that do without
 * (policy_settings.unsaid) keep those. An address without a name is one still if none is said.
 * Called for each verdict, so that the verifier has no branch to follow.
 */
__noinline __u32 drop_names(__u64 id, __u32 said)
{
	struct policy_naming *n = bpf_map_lookup_elem(&policy_naming, &id);
	const struct policy_settings *s = n ? settings_of(n->generation) : NULL;
	const struct policy_mask *unsaid = s ? mask_of(n->generation, s->unsaid) : NULL;

	if (!unsaid || said == NOT_SAID_YET)
		return 0;
	if (n->named || said >= NAME_IS_SAID) {
		for (int i = 0; i < POLICY_WORDS; i++) {
			__u64 kept = n->named ? unsaid->bits[i] : 0;

			n->rules.bits[i] &= kept;
			n->own.bits[i] &= kept;
		}
	}
	n->key.cgroup_id = 1; /* evidence of its own process */
	return 1;
}

static __always_inline __u64 naming_of(const struct policy_settings *s, __u64 netns_cookie,
				       const __u8 *addr, const struct policy_actor *a)
{
	__u64 id = naming_open();
	struct policy_naming *n = bpf_map_lookup_elem(&policy_naming, &id);

	if (!n)
		return 0;
	n->id = id;
	n->key.netns_cookie = netns_cookie;
	n->cgroup_id = a->cgroup_id;
	n->generation = s->generation;
	n->tgid = a->tgid;
	n->start_ns = a->start_ns;
	__builtin_memcpy(n->key.addr, addr, sizeof(n->key.addr));
	n->any_address = may_rebind(addr) ? 0 : ~0ULL;
	/* with 1 all that were granted hold */
	n->now_ns = s->flags & POLICY_STALE_NAMES ? 1 : bpf_ktime_get_boot_ns();
	find_names(n, id);
	return id;
}

/*
 * The rules that a destination matches by its names; without a name, those for such. A rule that
 * stops something wants a name that the process or one of its cgroup has asked: anyone may look
 * up a listed name, and so give its address that name for others. The entry that is returned is
 * for harms_process, and has to be closed; 0: none.
 */
static __always_inline __u64 named_rules(const struct policy_settings *s, __u64 netns_cookie,
					 const __u8 *addr, const struct policy_actor *a, __u32 said,
					 struct policy_mask *rules)
{
	__u64 id = naming_of(s, netns_cookie, addr, a);

	drop_names(id, said);
	if (said >= NAME_IS_SAID)
		add_name(id, said & 0xffff, 1);
	const struct policy_naming *n = bpf_map_lookup_elem(&policy_naming, &id);

	if (n)
		*rules = n->rules;
	return id;
}

static __always_inline void naming_close(__u64 id)
{
	bpf_map_delete_elem(&policy_naming, &id);
}

static __always_inline __u64 has_rule(const struct policy_mask *mask, __u32 rule)
{
	return mask->bits[rule / 64 % POLICY_WORDS] >> (rule % 64) & 1;
}

/*
 * Whether a rule may do more to the process than refuse: it matches by the address (the sets any
 * and cidr), or by a name that the process has itself asked. Else the owner of a listed name could
 * point it at others' addresses. A global function, verified once.
 */
__noinline __u32 harms_process(__u32 generation, __u32 any_set, __u32 cidr_set, __u64 naming,
			       __u32 rule)
{
	const struct policy_mask *any = mask_of(generation, any_set);
	const struct policy_mask *cidr = mask_of(generation, cidr_set);
	const struct policy_naming *n = bpf_map_lookup_elem(&policy_naming, &naming);

	if (rule >= POLICY_RULES)
		return 1; /* the default */
	if ((any && has_rule(any, rule)) || (cidr && has_rule(cidr, rule)))
		return 1;
	return n && has_rule(&n->own, rule);
}

#endif
