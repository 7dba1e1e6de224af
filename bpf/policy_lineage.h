/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What started a process, and its name. Programs match patterns of the rules; a process inherits
 * those that the program of its creator matches, and that it was itself started by.
 */
#ifndef EGRETS_POLICY_LINEAGE_H
#define EGRETS_POLICY_LINEAGE_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "policy_actor.h"
#include "policy_maps.h"

#define ANCESTORS 64 /* that are looked at of a process that runs already */

static __always_inline __u64 pattern_bit(__u32 kind, __u64 hash)
{
	struct policy_pattern_key key = {.hash = hash, .kind = kind};
	const __u64 *bit = bpf_map_lookup_elem(&policy_patterns, &key);

	return bit ? *bit : 0;
}

/* Notes which patterns the program of a process matches. A global function, verified once. */
__noinline __u32 policy_match_program(__u32 tgid)
{
	struct policy_process *p;
	__u64 bits;

	if (!*(volatile __u32 *)&pattern_count)
		return 0;
	p = bpf_map_lookup_elem(&policy_processes, &tgid);
	if (!p || !p->components)
		return 0;
	bits = pattern_bit(POLICY_EXE, p->path) | pattern_bit(POLICY_EXE_BELOW, policy_key);
	for (__u32 n = 0; n < POLICY_EXE_DEPTH; n++) /* 0, which no path's, beyond the last one */
		bits |= pattern_bit(POLICY_EXE_BELOW, p->directories[n]);
	if (p->components - 1 <= POLICY_EXE_DEPTH)
		bits |= pattern_bit(POLICY_EXE_CHILD, directory_hash(p));
	p->patterns[POLICY_ANY_PATHS] = bits;
	p->patterns[POLICY_TRUSTED_PATHS] = bits * (p->trusted & 1);
	return 1;
}

/* Those of its ancestors as far as they live. */
static __always_inline void policy_match_ancestors(struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	__u64 any = 0, trusted = 0;

	policy_match_program(tgid);
	struct policy_process *p = bpf_map_lookup_elem(&policy_processes, &tgid);

	if (!p)
		return;
	for (int i = 0; i < ANCESTORS; i++) {
		task = BPF_CORE_READ(task, group_leader, real_parent, group_leader);
		__u32 above = BPF_CORE_READ(task, tgid);

		if (!above)
			break;
		const struct policy_process *ancestor =
			bpf_map_lookup_elem(&policy_processes, &above);

		if (!ancestor || ancestor->start_ns != BPF_CORE_READ(task, start_boottime))
			continue;
		any |= ancestor->patterns[POLICY_ANY_PATHS];
		trusted |= ancestor->patterns[POLICY_TRUSTED_PATHS];
	}
	p->via[POLICY_ANY_PATHS] |= any;
	p->via[POLICY_TRUSTED_PATHS] |= trusted;
}

/* Accepting and other states of a word after the current process' name. */
__noinline __u64 policy_match_name(__u32 generation, __u32 word)
{
	__u32 slot = generation % POLICY_GENERATIONS;
	const struct policy_lineage *l = bpf_map_lookup_elem(&policy_lineages, &slot);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u8 comm[EGRETS_COMM_LEN] = {};

	word &= POLICY_COMM_WORDS - 1;
	if (!l)
		return 0; /* never: for the verifier */
	BPF_CORE_READ_STR_INTO(&comm, task, group_leader, comm);
	__u64 state = l->comm_start[word], star = l->comm_star[word];

	for (int i = 0; i < EGRETS_COMM_LEN; i++) {
		__u32 at = slot * POLICY_COMM_CHARS + comm[i];
		const struct policy_comm *on = bpf_map_lookup_elem(&policy_comms, &at);

		if (!on || !comm[i])
			break;
		state = (state & on->states[word]) << 1 | (state & star);
	}
	return state;
}

/* The set of the conditions that hold for the current process, or another without its name. */
__noinline __u32 policy_lineage_set(__u32 generation, __u32 tgid, __u32 contained, __u32 named)
{
	__u32 slot = generation % POLICY_GENERATIONS;
	const struct policy_lineage *l = bpf_map_lookup_elem(&policy_lineages, &slot);
	const struct policy_process *p = bpf_map_lookup_elem(&policy_processes, &tgid);
	__u32 hold = 0, has_name = 0, lacks = 0;

	if (!l)
		return 0; /* never: for the verifier */
	__u64 via = p ? p->via[contained ? POLICY_ANY_PATHS : POLICY_TRUSTED_PATHS] : 0;

	for (__u32 word = 0; word < POLICY_COMM_WORDS; word++) {
		if (word >= l->comm_words || !named)
			break;
		__u64 names = policy_match_name(generation, word);

		for (int i = 0; i < POLICY_CONDITIONS; i++) {
			const struct policy_condition *c = &l->conditions[i];

			has_name |= (__u32) !!(names & c->comm_any[word]) << i;
			lacks |= (__u32) !!(names & c->comm_none[word]) << i;
		}
	}
	for (int i = 0; i < POLICY_CONDITIONS; i++) {
		const struct policy_condition *c = &l->conditions[i];
		bool is_about = !contained == !(c->flags & POLICY_CONTAINED);
		__u64 its = via & -(__u64)is_about;
		bool holds = (!c->via_any | !!(its & c->via_any)) & !(its & c->via_none);

		hold |= (__u32)holds << i;
		has_name |= (__u32) !(c->flags & POLICY_NEEDS_NAME) << i;
	}
	hold &= has_name & ~lacks;
	hold &= (1 << POLICY_CONDITIONS) - 1;
	barrier_var(hold); /* keeps the bound on the register that is the index */
	return l->sets[hold & ((1 << POLICY_CONDITIONS) - 1)];
}

static __always_inline __u32 lineage_set(const struct policy_settings *s,
					 const struct policy_actor *a,
					 const struct policy_process *process, __u64 class)
{
	if (!s->conditions)
		return s->unconditional;
	return policy_lineage_set(s->generation, process ? a->tgid : 0,
				  !(class >> 32 & POLICY_OUTSIDE), a->is_current);
}

#endif
