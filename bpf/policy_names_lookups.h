/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The setting lookups: whether a process may ask for a name. */
#ifndef EGRETS_POLICY_NAMES_LOOKUPS_H
#define EGRETS_POLICY_NAMES_LOOKUPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "policy.h"
#include "policy_actor.h"
#include "policy_egress.h"
#include "policy_maps.h"
#include "policy_names.h"
#include "policy_verdict.h"

/*
 * What becomes of a query for a name of this set: allowed if a rule lets its process reach the
 * name, at any port. A resolver of this host may ask what any process may.
 */
__noinline __u32 lookup_verdict(__u32 generation, __u32 name_set)
{
	const struct policy_settings *s = settings_of(generation);
	struct policy_actor actor = {};
	const struct policy_actor *a = &actor;

	if (!s)
		return NO_VERDICT;
	current_actor(&actor);
	if (!is_subject(s, &actor))
		return NO_VERDICT;
	const struct policy_process *process = process_of(a);
	__u64 class = class_of(a);
	__u32 exe_set = s->exe_miss;

	if (process)
		exe_set = policy_exe_set(s->generation, s->exe_depth, a->tgid,
					 !(class >> 32 & POLICY_OUTSIDE), exe_set);
	__u32 era = era_now(s);
	__u64 at = era;

	barrier_var(at);
	const struct policy_mask *exe = mask_of(s->generation, exe_set);
	const struct policy_mask *user = mask_of(s->generation, user_set(s, a->uid));
	const struct policy_mask *cgroup = mask_of(s->generation, class_set(s, class));
	const struct policy_mask *kind =
		mask_of(s->generation, kind_set(s, era, kind_of(a, class, process)));
	const struct policy_mask *names = mask_of(s->generation, name_set);
	const struct policy_mask *lineage =
		mask_of(s->generation, lineage_set(s, a, process, class));
	const struct policy_mask *any = mask_of(s->generation, s->any);
	const struct policy_mask *allowing = mask_of(s->generation, s->allowing);
	const struct policy_mask *live = mask_of(s->generation, s->live[at & (POLICY_ERAS - 1)]);
	__u32 first = EGRETS_RULE_DEFAULT;
	bool stub = is_stub();

	if (!exe || !user || !cgroup || !kind || !names || !any || !allowing || !lineage || !live)
		return NO_VERDICT; /* never: for the verifier */
	for (int i = 0; i < POLICY_WORDS; i++) {
		__u64 bits = (names->bits[i] | any->bits[i]) & live->bits[i];

		if (!stub)
			bits &= exe->bits[i] & user->bits[i] & cgroup->bits[i] & kind->bits[i] &
				lineage->bits[i];
		if (bits & allowing->bits[i])
			return NO_VERDICT;
		if (bits && first == EGRETS_RULE_DEFAULT)
			first = i * 64 + lowest_bit(bits);
	}
	__u32 verdict = verdict_of_rule(s, first);

	/* a name may be looked up for another process: that is refused, and no more */
	return harms(verdict) ? only_refused(verdict) : verdict;
}

/* A packet leaves. 0: its sender gets EPERM. */
static __always_inline int policy_lookup(struct __sk_buff *skb)
{
	const struct policy_settings *s = active_settings();
	struct policy_actor actor = {};
	struct egrets_endpoint server = {};
	__u32 verdict;

	if (!s)
		return 1;
	__u64 query = names_egress(skb, s->generation, &server);

	if (!query || !(s->flags & POLICY_BLOCK_LOOKUPS))
		return 1;
	if (query & QUERY_READ)
		verdict = lookup_verdict(s->generation, query);
	else
		verdict = VERDICT(EGRETS_RULE_DEFAULT, EGRETS_BLOCK, s->flags & POLICY_ENFORCE);
	if (verdict != NO_VERDICT) {
		current_actor(&actor);
		if (!is_subject(s, &actor))
			return 1;
		report_verdict(bpf_get_socket_cookie(skb), &server, &actor, s->generation, verdict,
			       false);
	}
	return !refuses(verdict);
}

#endif
