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

/*
 * The states of a word after the current process' name. The stack of the callers leaves room for
 * little here.
 */
__noinline __u64 policy_match_name(__u32 generation, __u32 word)
{
	__u32 key = generation % POLICY_GENERATIONS;
	const struct policy_lineage *l = bpf_map_lookup_elem(&policy_lineages, &key);
	__u32 first = key * POLICY_COMM_CHARS;
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	union {
		struct task_struct *leader;
		__u8 comm[EGRETS_COMM_LEN];
	} u = {};

	word &= POLICY_COMM_WORDS - 1;
	if (!l)
		return 0; /* never: for the verifier */
	__u64 state = l->comm_start[word], star = l->comm_star[word];

	bpf_core_read(&u.leader, sizeof(u.leader), &task->group_leader);
	task = u.leader;
	bpf_core_read_str(u.comm, sizeof(u.comm), &task->comm);
#pragma unroll
	for (int i = 0; i < EGRETS_COMM_LEN; i++) {
		key = first + u.comm[i];
		const struct policy_comm *on = bpf_map_lookup_elem(&policy_comms, &key);

		if (!on || !u.comm[i])
			break;
		state = (state & on->states[word]) << 1 | (state & star);
	}
	return state;
}

enum { FOR_CONTAINED = 1, FOR_NAMED = 2 };

/* 1 if it is not 0. Without a branch, each of which would multiply what the verifier checks. */
static __always_inline __u32 is_set(__u64 bits)
{
	__u64 negative = -bits;

	barrier_var(negative); /* or clang makes it a comparison again */
	return (bits | negative) >> 63;
}

/* The conditions that hold as far as the name of the current process goes. */
__noinline __u32 policy_names_hold(__u32 generation, __u32 of)
{
	__u32 key = generation % POLICY_GENERATIONS;
	const struct policy_lineage *l = bpf_map_lookup_elem(&policy_lineages, &key);
	__u64 hold = 0; /* the half above: those that lack a name, or have one too many */

	if (!l)
		return 0; /* never: for the verifier */
#pragma unroll
	for (int i = 0; i < POLICY_CONDITIONS; i++)
		hold |= (__u64)(~l->conditions[i].flags / POLICY_NEEDS_NAME & 1) << i;
	for (__u32 word = 0; word < POLICY_COMM_WORDS; word++) {
		if (!(of & FOR_NAMED) || !l->has_names)
			break;
		__u64 names = policy_match_name(generation, word);

#pragma unroll
		for (int i = 0; i < POLICY_CONDITIONS; i++) {
			const struct policy_condition *c = &l->conditions[i];

			hold |= (__u64)is_set(names & c->comm_any[word]) << i;
			hold |= (__u64)is_set(names & c->comm_none[word]) << (32 + i);
		}
	}
	return hold & ~(hold >> 32);
}

/* The set of the conditions that hold, of those whose names do. */
__noinline __u32 policy_lineage_set(__u32 generation, __u32 tgid, __u32 of, __u32 named)
{
	__u32 key = generation % POLICY_GENERATIONS;
	const struct policy_process *p = bpf_map_lookup_elem(&policy_processes, &tgid);
	__u64 via = p ? p->via[of & FOR_CONTAINED] : 0;
	const struct policy_lineage *l = bpf_map_lookup_elem(&policy_lineages, &key);
	__u64 hold = named;

	if (!l)
		return 0; /* never: for the verifier */
#pragma unroll
	for (int i = 0; i < POLICY_CONDITIONS; i++) {
		const struct policy_condition *c = &l->conditions[i];
		__u64 is_about = ~(of ^ c->flags) & POLICY_CONTAINED;
		__u64 its = via & -is_about;
		__u32 lacks = is_set(c->via_any) & ~is_set(its & c->via_any);

		hold &= ~((__u64)(lacks | is_set(its & c->via_none)) << i);
	}
	barrier_var(hold); /* keeps the bound on the register that is the index */
	return l->sets[hold & ((1 << POLICY_CONDITIONS) - 1)];
}

static __always_inline __u32 lineage_set(const struct policy_settings *s,
					 const struct policy_actor *a,
					 const struct policy_process *process, __u64 class)
{
	if (!s->conditions)
		return s->unconditional;
	__u32 of = class >> 32 & POLICY_OUTSIDE ? 0 : FOR_CONTAINED;

	if (a->is_current)
		of |= FOR_NAMED;
	return policy_lineage_set(s->generation, process ? a->tgid : 0, of,
				  policy_names_hold(s->generation, of));
}

#endif
